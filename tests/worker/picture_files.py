"""Code that makes the files which the tests of pictures read: nothing is taken from elsewhere."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Array = npt.NDArray[np.uint8]
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def scene(width: int = 48, height: int = 32) -> Array:
    """A smooth picture without symmetry, [H, W, 3]: each corner and each channel differs."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return (np.stack([40 + 200 * x, 30 + 180 * y, 220 - 120 * x * y - 60 * y], axis=-1)).astype(np.uint8)


def ramp(width: int = 48, height: int = 32) -> Array:
    """Alpha from 0 to 255, [H, W]."""
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


def saved(image: Image.Image | Array, kind: str, **options: Any) -> bytes:
    """Write with Pillow."""
    written = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(written, kind, **options)
    return written.getvalue()


def with_orientation(array: Array, kind: str, orientation: int, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(array, kind, exif=exif.tobytes(), **options)


def as_stored(upright: Array, orientation: int) -> Array:
    """How a camera that was held by this EXIF orientation stores an upright picture."""
    undo: dict[int, Callable[[Array], Array]] = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    return np.ascontiguousarray(undo[orientation](upright))


# PNG by hand ------------------------------------------------------------------------------------------------


def chunk(kind: bytes, body: bytes, *, bad_checksum: bool = False) -> bytes:
    checksum = zlib.crc32(kind + body) ^ (0xFFFFFFFF if bad_checksum else 0)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def ihdr(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def rows(array: npt.NDArray[Any]) -> bytes:
    """Uncompressed PNG rows, filter 0, big-endian."""
    flat = array.astype(array.dtype.newbyteorder(">")).reshape(array.shape[0], -1)
    return b"".join(b"\0" + row.tobytes() for row in flat)


def png(header: bytes, raw: bytes, *before: bytes, after: bytes = b"") -> bytes:
    """A PNG of ready parts; `before` and `after` are chunks around the pixels."""
    pixels = chunk(b"IDAT", zlib.compress(raw))
    return b"".join((PNG_MAGIC, header, *before, pixels, after, chunk(b"IEND", b"")))


def bomb_png(width: int = 25_500, height: int = 25_500) -> bytes:
    """A header that declares far more than the file has."""
    return PNG_MAGIC + ihdr(width, height) + chunk(b"IDAT", b"")


# Colour profiles by hand ------------------------------------------------------------------------------------


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _profile(space: bytes, connection: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", start + len(body), len(content))
        body += padded
    header = bytearray(128)
    header[8:12] = b"\x02\x40\0\0"
    header[12:24] = kind + space + connection
    header[36:40] = b"acsp"
    header[68:80] = _fixed(0.9642) + _fixed(1.0) + _fixed(0.8249)
    header[0:4] = struct.pack(">I", 128 + len(table) + len(body))
    return bytes(header) + table + body


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(x) + _fixed(y) + _fixed(z)


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


_COMMON = {
    b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
    b"cprt": b"text\0\0\0\0none\0",
}


def swapped_profile() -> bytes:
    """A profile of sRGB's primaries with red and green exchanged: unmistakably different."""
    red, green, blue = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
    tags = {
        b"wtpt": _xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": _xyz(*green),
        b"gXYZ": _xyz(*red),
        b"bXYZ": _xyz(*blue),
    }
    curves = {name: _gamma(2.2) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return _profile(b"RGB ", b"XYZ ", b"mntr", {**_COMMON, **tags, **curves})


def grey_profile(gamma: float = 1.0) -> bytes:
    """A profile for grey pictures."""
    tags = {b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"kTRC": _gamma(gamma)}
    return _profile(b"GRAY", b"XYZ ", b"mntr", {**_COMMON, **tags})


def cmyk_profile() -> bytes:
    """A profile whose cyan ink prints red: plainly not the default.

    A table of two points per ink, from ink to L*a*b* in 8 bits.
    """
    points = bytearray()
    for corner in range(16):
        cyan, black = corner & 8, corner & 1
        lightness, a, b = (54, 80, 67) if cyan else (100, 0, 0)
        if black:
            lightness, a, b = 0, 0, 0
        points += bytes((round(lightness * 2.55), a + 128, b + 128))
    identity = bytes(range(256))
    matrix = b"".join(_fixed(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + identity * 4 + bytes(points) + identity * 3
    return _profile(b"CMYK", b"Lab ", b"prtr", {**_COMMON, b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"A2B0": table})


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# JPEG by hand -----------------------------------------------------------------------------------------------


def ycck_jpeg(inks: Image.Image) -> bytes:
    """A four-ink JPEG as Photoshop writes it: inverted, C, M, Y as YCbCr, and an Adobe marker that says so.

    Made of a CMYK file whose samples already are YCC, by changing the transform byte of its Adobe marker.
    """
    *colours, black = inks.split()
    ycc = Image.merge("RGB", colours).convert("YCbCr")
    # Pillow's writer inverts what it is given; of YCC the samples have to arrive as they are.
    samples = [Image.fromarray(255 - np.asarray(band)) for band in ycc.split()]
    plain = saved(Image.merge("CMYK", [*samples, black]), "JPEG", quality=98, subsampling=0)
    at = plain.index(b"Adobe") + 11
    return plain[:at] + b"\x02" + plain[at + 1 :]


def cut_jpeg_with_end_marker(data: bytes, keep: float = 0.5) -> bytes:
    """A JPEG that lost its tail and was given an end marker, as careless repair tools do."""
    start = data.index(b"\xff\xda")
    return data[: start + int((len(data) - start) * keep)] + b"\xff\xd9"


# One small file of every kind -------------------------------------------------------------------------------


def one_of_each() -> dict[str, bytes]:
    """A valid file of every accepted format, by name."""
    array, alpha = scene(), ramp()
    rgba = Image.fromarray(np.dstack([array, alpha]))
    return {
        "jpeg": saved(array, "JPEG", quality=95, subsampling=0),
        "jpeg progressive": saved(array, "JPEG", quality=95, subsampling=0, progressive=True),
        "jpeg cmyk": saved(Image.fromarray(array).convert("CMYK"), "JPEG"),
        "png": saved(array, "PNG"),
        "png alpha": saved(rgba, "PNG"),
        "png palette": saved(Image.fromarray(array).quantize(64), "PNG", transparency=3),
        "webp": saved(array, "WEBP", quality=95),
        "webp lossless": saved(rgba, "WEBP", lossless=True, exact=True),
        "avif": saved(array, "AVIF", quality=95, speed=10, subsampling="4:4:4"),
        "tiff": saved(array, "TIFF", compression="tiff_lzw"),
        "tiff raw": saved(rgba, "TIFF"),
        "tiff jpeg": saved(array, "TIFF", compression="jpeg", quality=98),
        "bmp": saved(array, "BMP"),
        "gif": saved(Image.fromarray(array).quantize(64), "GIF"),
    }
