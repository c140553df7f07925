"""Opens WebP. Its header is read here: Pillow's decoder allocates the canvas as soon as it is created."""

from __future__ import annotations

import io
import struct

from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile

from jobs.errors import ErrorCode, ImageRejected
from worker.images.opened import Opened, exif_orientation

_MAX_CHUNKS = 10_000  # chosen: an animation has one per frame, and metadata follows the frames


def open_webp(data: bytes) -> Opened:
    """Read the header of a WebP; of an animation the first frame counts."""
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    if riff_bytes + 8 > len(data):
        raise ImageRejected(ErrorCode.TRUNCATED, f"the WebP declares {riff_bytes + 8} bytes and ends after {len(data)}")
    chunks = _chunks(data)
    width, height = _size(data)

    def load(_: int | None) -> Image.Image:
        image = WebPImageFile(io.BytesIO(data))
        image.load()
        return image

    return Opened(
        format="webp",
        width=width,
        height=height,
        orientation=exif_orientation(chunks.get(b"EXIF")),
        icc=chunks.get(b"ICCP"),
        load=load,
    )


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The colour profile and the EXIF block of a WebP."""
    found: dict[bytes, bytes] = {}
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind in {b"ICCP", b"EXIF"}:
            found.setdefault(kind, data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    return found


def _size(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas from the first chunk."""
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X" and len(body) == 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(body) == 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise ImageRejected(ErrorCode.CORRUPT_IMAGE, f"the WebP starts with a broken chunk {kind!r}")
