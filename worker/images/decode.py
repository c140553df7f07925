"""Turns the bytes of a file into a picture, or into one reason why not."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from jobs.errors import ErrorCode, ImageRejected
from worker.images.colour import is_srgb, split_alpha, to_srgb
from worker.images.jpeg import open_jpeg
from worker.images.limits import PictureLimits, check_bytes, check_size
from worker.images.opened import Opened
from worker.images.others import open_avif, open_bmp, open_gif, open_tiff
from worker.images.png import open_png
from worker.images.sniffing import sniff
from worker.images.webp import open_webp

Pixels = npt.NDArray[np.uint8]

_READERS: dict[str, Callable[[bytes], Opened]] = {
    "jpeg": open_jpeg,
    "png": open_png,
    "webp": open_webp,
    "avif": open_avif,
    "tiff": open_tiff,
    "bmp": open_bmp,
    "gif": open_gif,
}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = {5, 6, 7, 8}  # orientations that swap width and height
_STRIP_ROWS = 256  # chosen: a strip of a product photo fits the processor's cache


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureHeader:
    """What is known before a pixel is decoded."""

    source_format: str
    width: int  # px, orientation applied
    height: int
    decoded_bytes: int  # an upper bound of what `Picture` holds: RGB and alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A decoded picture."""

    pixels: Pixels  # [H, W, 3], sRGB-encoded RGB, orientation applied, contiguous, writable
    alpha: Pixels | None  # [H, W], straight; carried around the model untouched
    source_format: str  # "jpeg", "png", …

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


def inspect(data: bytes, limits: PictureLimits) -> PictureHeader:
    """Read the header and check it against the limits. No pixels are allocated.

    Raises:
        ImageRejected: with the reason.

    """
    opened = _open(data, limits)
    width, height = opened.width, opened.height
    if opened.orientation in _LYING:
        width, height = height, width
    return PictureHeader(source_format=opened.format, width=width, height=height, decoded_bytes=width * height * 4)


def decode(data: bytes, limits: PictureLimits) -> Picture:
    """Decode a file of any accepted format.

    Raises:
        ImageRejected: with the reason; nothing else, whatever the bytes are.

    """
    opened = _open(data, limits)
    with _one_reason(opened.format):
        pixels, alpha = _pixels(opened)
        height, width, _ = pixels.shape
        if opened.width * opened.height != width * height:
            raise ImageRejected(
                ErrorCode.CORRUPT_IMAGE,
                f"the header declares {opened.width} x {opened.height} px, the pixels are {width} x {height}",
            )
        return Picture(pixels=pixels, alpha=alpha, source_format=opened.format)


def thumbnail(
    source: bytes | Picture,
    side_px: int,
    *,
    limits: PictureLimits | None = None,
    background: tuple[int, int, int] = (255, 255, 255),
) -> Pixels:
    """Return [h, w, 3] sRGB with the longer side at most `side_px`, alpha laid over the background.

    A JPEG is decoded at a fraction of its size where that suffices. Raises ImageRejected as `decode` does.
    """
    if isinstance(source, Picture):
        colours = Image.fromarray(source.pixels)
        alpha = None if source.alpha is None else Image.fromarray(source.alpha)
    else:
        opened = _open(source, limits or PictureLimits())
        with _one_reason(opened.format):
            colours, alpha = _upright(opened.load(side_px), opened)
    if alpha is not None:
        colours = over(colours, alpha, background)
    colours.thumbnail((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return as_array(colours)


def over(colours: Image.Image, alpha: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Lay straight-alpha colours (mode RGB, alpha L) over one background colour."""
    return Image.composite(colours, Image.new("RGB", colours.size, background), alpha)


def _open(data: bytes, limits: PictureLimits) -> Opened:
    check_bytes(data, limits)
    name = sniff(data)
    with _one_reason(name):
        opened = _READERS[name](data)
        check_size(opened.width, opened.height, limits)
        return opened


def _pixels(opened: Opened) -> tuple[Pixels, Pixels | None]:
    """Load what the picture holds, as arrays; the shorter way where there is nothing to convert or to turn."""
    pixels = opened.pixels()
    if pixels is not None and opened.orientation not in _UPRIGHT and is_srgb(opened.icc):
        return pixels, None
    image = opened.load(None) if pixels is None else Image.fromarray(pixels)
    colours, alpha = _upright(image, opened)
    return as_array(colours), None if alpha is None else as_array(alpha)


def _upright(image: Image.Image, opened: Opened) -> tuple[Image.Image, Image.Image | None]:
    """Convert and turn what was loaded: sRGB colours and alpha, as the picture is meant to be seen."""
    colours, alpha = split_alpha(image, opened)
    colours = to_srgb(colours, opened.icc)
    turn = _UPRIGHT.get(opened.orientation)
    if turn is None:
        return colours, alpha
    return colours.transpose(turn), None if alpha is None else alpha.transpose(turn)


def as_array(image: Image.Image) -> Pixels:
    """Copy a picture of mode RGB or L into a writable array, in strips: copying it whole is slower."""
    shape = (image.height, image.width, 3) if image.mode == "RGB" else (image.height, image.width)
    array = np.empty(shape, dtype=np.uint8)
    for top in range(0, image.height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, image.height)
        array[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return array


@contextmanager
def _one_reason(name: str) -> Iterator[None]:
    """The one boundary behind which codecs may raise whatever they like."""
    try:
        yield
    except ImageRejected:
        raise
    except Exception as error:
        cut = "truncated" in str(error).lower() or isinstance(error, EOFError | struct.error)
        code = ErrorCode.TRUNCATED if cut else ErrorCode.CORRUPT_IMAGE
        detail = str(error) or type(error).__name__
        raise ImageRejected(code, f"the {name.upper()} cannot be decoded: {detail}") from error
