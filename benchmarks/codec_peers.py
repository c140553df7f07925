"""The picture libraries that `benchmarks.codecs` measures: RGB [H, W, 3] in memory to a file in memory, and back.

Each does what its users write, on one thread, at the settings of `worker.images`. A library that is not installed, or
that has no such codec, raises `Unable`; the benchmark notes it.
"""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
QUALITY = 90
PACKAGES = ("pillow", "simplejpeg", "pyvips", "pyvips-binary", "deflate", "opencv-python-headless", "numpy")


class Unable(Exception):
    """The library is not there, or cannot do this."""


@dataclass(frozen=True, slots=True)
class Coder:
    """A library. Both ways take a format's name: jpeg, png, webp or avif."""

    name: str
    decode: Callable[[bytes, str], Pixels]
    encode: Callable[[Pixels, str], bytes]


def versions() -> dict[str, str]:
    """Return the versions of what is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


# Pillow ----------------------------------------------------------------------------------------------------

_PILLOW: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": QUALITY, "subsampling": "4:4:4"},
    "png": {"compress_level": 3},
    "webp": {"quality": QUALITY, "method": 4},
    "avif": {"quality": QUALITY, "subsampling": "4:4:4", "speed": 9, "max_threads": 1, "autotiling": False},
}


def with_pillow(data: bytes, _: str) -> Pixels:
    """Decode with Pillow."""
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def pillow_encoded(pixels: Pixels, name: str, **options: Any) -> bytes:
    """Encode with Pillow."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, name, **options)
    return out.getvalue()


def _encode_with_pillow(pixels: Pixels, name: str) -> bytes:
    return pillow_encoded(pixels, name, **_PILLOW[name])


# simplejpeg ------------------------------------------------------------------------------------------------


def _simplejpeg(name: str) -> Any:
    if name != "jpeg":
        raise Unable("JPEG alone")
    try:
        import simplejpeg
    except ImportError as error:
        raise Unable(error) from error
    return simplejpeg


def _decode_with_simplejpeg(data: bytes, name: str) -> Pixels:
    pixels: Pixels = _simplejpeg(name).decode_jpeg(data, "RGB")
    return pixels


def _encode_with_simplejpeg(pixels: Pixels, name: str) -> bytes:
    encoded: bytes = _simplejpeg(name).encode_jpeg(pixels, QUALITY, "RGB", "444", fastdct=False)
    return encoded


# OpenCV ----------------------------------------------------------------------------------------------------


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise Unable(error) from error
    cv2.setNumThreads(1)
    return cv2


def _decode_with_opencv(data: bytes, _: str) -> Pixels:
    cv2 = _cv2()
    pixels: Pixels | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise Unable("no such decoder")
    return pixels


def _encode_with_opencv(pixels: Pixels, name: str) -> bytes:
    cv2 = _cv2()
    options = {
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 3],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, QUALITY],
        "avif": [cv2.IMWRITE_AVIF_QUALITY, QUALITY, cv2.IMWRITE_AVIF_SPEED, 9],
    }
    try:
        done, encoded = cv2.imencode(f".{name}", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options[name])
    except cv2.error as error:
        raise Unable(error) from error
    if not done:
        raise Unable("no such encoder")
    return bytes(encoded)


# libvips ---------------------------------------------------------------------------------------------------

_VIPS: dict[str, dict[str, Any]] = {
    "jpeg": {"Q": QUALITY, "subsample_mode": "off"},
    "png": {"compression": 3},
    "webp": {"Q": QUALITY, "effort": 4},
    "avif": {"Q": QUALITY, "compression": "av1", "effort": 0, "subsample_mode": "off"},
}


def _pyvips() -> Any:
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise Unable(error) from error
    pyvips.cache_set_max(0)
    pyvips.voperation.cache_set_max(0)
    return pyvips


def _decode_with_vips(data: bytes, _: str) -> Pixels:
    pyvips = _pyvips()
    try:
        pixels: Pixels = pyvips.Image.new_from_buffer(data, "", access="sequential").numpy()
    except pyvips.Error as error:
        raise Unable(error) from error
    return pixels


def _encode_with_vips(pixels: Pixels, name: str) -> bytes:
    pyvips = _pyvips()
    suffix = {"avif": ".heif"}.get(name, f".{name}")
    try:
        encoded: bytes = pyvips.Image.new_from_array(pixels, interpretation="srgb").write_to_buffer(
            suffix, **_VIPS[name]
        )
    except pyvips.Error as error:
        raise Unable(error) from error
    return encoded


CODERS = (
    Coder("pillow", with_pillow, _encode_with_pillow),
    Coder("simplejpeg", _decode_with_simplejpeg, _encode_with_simplejpeg),
    Coder("opencv", _decode_with_opencv, _encode_with_opencv),
    Coder("vips", _decode_with_vips, _encode_with_vips),
)
