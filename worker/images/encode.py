"""Turns pixels into the bytes of a file. Equal pixels give equal bytes, on whatever thread or machine size.

Written files carry pixels only: no EXIF, XMP, comments or colour profile. Without a profile they are sRGB by
the rules of the web.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from jobs.formats import OutputFormat
from worker.images.decode import Pixels, as_array, over
from worker.images.png_out import write_png

# From this quality on, coloured edges are worth a third more bytes; below it, losses elsewhere hide them.
_FULL_COLOUR_QUALITY = 90
# Measured: a step that takes twice the time has to save 6 % of the bytes or more (docs/decisions/0018).
_WEBP_METHOD = 4
_AVIF_SPEED = 9


def encode(
    pixels: Pixels,
    alpha: Pixels | None,
    *,
    format: OutputFormat,  # noqa: A002  the word that recipes use
    quality: int,
    background: tuple[int, int, int] = (255, 255, 255),
) -> bytes:
    """Encode sRGB pixels uint8 [H, W, 3] and straight alpha uint8 [H, W] or None.

    Quality is 1 to 100; PNG is lossless and ignores it. JPEG has no alpha and lays it over `background`.

    Raises:
        ValueError: shapes, types or quality are wrong: a mistake of the caller, never of a picture.

    """
    _check(pixels, alpha, quality)
    pixels = np.ascontiguousarray(pixels)
    match format:
        case OutputFormat.JPEG:
            return _jpeg(pixels if alpha is None else _flat(pixels, alpha, background), quality)
        case OutputFormat.PNG:
            return write_png(pixels if alpha is None else np.dstack((pixels, alpha)))
        case _:
            return _with_pillow(pixels, alpha, format, quality)


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    subsampling = "444" if quality >= _FULL_COLOUR_QUALITY else "420"
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality, "RGB", subsampling, fastdct=False)
    return encoded


def _flat(pixels: Pixels, alpha: Pixels, background: tuple[int, int, int]) -> Pixels:
    mask = Image.fromarray(np.ascontiguousarray(alpha))
    return as_array(over(Image.fromarray(pixels), mask, background))


def _with_pillow(pixels: Pixels, alpha: Pixels | None, format: OutputFormat, quality: int) -> bytes:  # noqa: A002
    image = Image.fromarray(pixels if alpha is None else np.dstack((pixels, alpha)))
    written = io.BytesIO()
    image.save(written, format.value, **_options(format, quality))
    return written.getvalue()


def _options(format: OutputFormat, quality: int) -> dict[str, Any]:  # noqa: A002
    """What Pillow's codecs are told. Threads and tiles are fixed: else the bytes follow the machine."""
    if format is OutputFormat.WEBP:
        return {"quality": quality, "method": _WEBP_METHOD, "alpha_quality": 100}
    return {
        "quality": quality,
        "subsampling": "4:4:4" if quality >= _FULL_COLOUR_QUALITY else "4:2:0",
        "speed": _AVIF_SPEED,
        "max_threads": 1,
        "autotiling": False,
    }


def _check(pixels: Pixels, alpha: Pixels | None, quality: int) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}; they must be uint8 [H, W, 3]")
    if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != pixels.shape[:2]):
        raise ValueError(f"alpha is {alpha.dtype} {alpha.shape}; it must be uint8 {pixels.shape[:2]}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality}; it must be 1 to 100")
