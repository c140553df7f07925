"""Small pictures for tests, all different, made from a number."""

from __future__ import annotations

import functools
import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image


def pixels(number: int, *, width: int = 96, height: int = 64) -> npt.NDArray[np.uint8]:
    """Return [height, width, 3]: a coloured disc on a light ground, its place and colour from the number."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[0:height, 0:width]
    centre_y, centre_x = random.uniform(0.3, 0.7, 2) * (height, width)
    distance = np.hypot(y - centre_y, x - centre_x) / (0.3 * min(height, width))
    ground = np.linspace(235, 250, height)[:, None, None].repeat(width, 1).repeat(3, 2)
    disc = random.integers(20, 220, 3) * (1.1 - 0.4 * distance[..., None])
    return np.where(distance[..., None] < 1, disc, ground).clip(0, 255).astype(np.uint8)


@functools.cache  # the same hundreds are put into a catalogue and compared with what came of them, test after test
def jpeg(number: int, *, width: int = 96, height: int = 64) -> bytes:
    return encoded(pixels(number, width=width, height=height), "JPEG", quality=92)


@functools.cache
def png(number: int, *, width: int = 96, height: int = 64) -> bytes:
    return encoded(pixels(number, width=width, height=height), "PNG")


def encoded(array: npt.NDArray[np.uint8], format_name: str, **options: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, format_name, **options)
    return out.getvalue()


def bomb_png() -> bytes:
    """Return a few bytes that declare 25,500 × 25,500 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 25_500, 25_500, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")
