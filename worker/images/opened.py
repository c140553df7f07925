"""What every reader hands over: a picture whose header is read and whose pixels are not."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

_ORIENTATION_TAG = 0x0112
_SHORT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A picture behind its header."""

    format: str
    width: int  # as stored, before orientation
    height: int
    load: Callable[[int | None], Image.Image]  # a side in px that suffices (JPEG only), or None → all pixels
    # What `load` would give, as RGB [H, W, 3] and faster; None where there is no such way, or where a doubt about the
    # file is left for `load` to judge.
    pixels: Callable[[], npt.NDArray[np.uint8] | None] = lambda: None
    orientation: int = 1  # EXIF's 1 to 8, still to be applied
    icc: bytes | None = None
    colour_key: tuple[int, ...] | None = None  # the one 8-bit colour that means transparent, per channel


def exif_orientation(exif: bytes | None) -> int:
    """Read the orientation 1 to 8 from an EXIF block; 1 where it is absent, broken or out of range.

    Our own few lines: damaged metadata must cost no picture, and no more of it is looked at than this tag.
    """
    tiff = (exif or b"").removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", tiff, entry)
            if tag == _ORIENTATION_TAG:
                (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), tiff, entry + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def high_byte(image: Image.Image, bits: int = 16) -> Image.Image:
    """Turn grey of 9 to 16 bits into 8 by its high bits: the rule by which Pillow reads 16-bit colour."""
    order = ">u2" if image.mode == "I;16B" else "<u2"
    values = np.frombuffer(image.tobytes(), dtype=order).reshape(image.height, image.width)
    return Image.fromarray((values >> (bits - 8)).astype(np.uint8))
