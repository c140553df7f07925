"""From an item's source, read, to the picture that a model works on: one photo, a sheet of several, or a label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jobs.errors import ErrorCode, ImageRejected, StorageError
from jobs.labels import is_label, read_label
from jobs.sheets import is_sheet, read_sheet
from jobs.source_urls import pictures_of
from worker.comparison_sheet import compose_sheet, sheet_size
from worker.images import Picture, PictureHeader, PictureLimits, decode, inspect
from worker.images.limits import check_size
from worker.label import LABEL, draw_label

SHEET = "sheet"  # in the place of a file's format


def inspect_source(source_url: str, files: Sequence[bytes], limits: PictureLimits) -> PictureHeader:
    """Check a source against the limits before a pixel is decoded.

    Raises:
        ImageRejected: with the reason; of one picture of several it says which.

    """
    urls, headers = pictures_of(source_url), []
    for number, data in enumerate(files):
        with naming(urls, number):
            headers.append(inspect(data, limits))
    if is_label(source_url):
        label = read_label(source_url)
        check_size(label.width_px, label.height_px, limits)
        return _header(LABEL, label.width_px, label.height_px)
    if not is_sheet(source_url):
        [header] = headers
        return header
    width, height = sheet_size(read_sheet(source_url))
    check_size(width, height, limits)
    # One photo after the other is decoded, cut out and let go, while the sheet is there.
    return _header(SHEET, width, height, max(header.decoded_bytes for header in headers))


def _header(source_format: str, width: int, height: int, besides_bytes: int = 0) -> PictureHeader:
    decoded_bytes = 4 * width * height + besides_bytes
    return PictureHeader(source_format=source_format, width=width, height=height, decoded_bytes=decoded_bytes)


def decode_source(source_url: str, files: Sequence[bytes], limits: PictureLimits) -> Picture:
    """Return a source's picture.

    Raises:
        ImageRejected: with the reason; of one picture of several it says which.

    """
    if is_label(source_url):
        return draw_label(read_label(source_url))
    if not is_sheet(source_url):
        [data] = files
        return decode(data, limits)

    urls = pictures_of(source_url)

    def photos() -> Iterator[Picture]:
        for number, data in enumerate(files):
            with naming(urls, number):
                photo = decode(data, limits)
            yield photo

    return Picture(pixels=compose_sheet(photos(), read_sheet(source_url)), alpha=None, source_format=SHEET)


@contextmanager
def naming(urls: Sequence[str], number: int) -> Iterator[None]:
    """Have what goes wrong with one of several pictures say which one it is."""
    try:
        yield
    except (ImageRejected, StorageError) as error:
        if len(urls) == 1:
            raise
        message = f"picture {number + 1} of {len(urls)}, {urls[number]}: {error}"
        raise _saying(error, message) from error


def _saying(error: ImageRejected | StorageError, message: str) -> ImageRejected | StorageError:
    if isinstance(error, ImageRejected):
        return ImageRejected(ErrorCode(error.code), message)
    return type(error)(message)
