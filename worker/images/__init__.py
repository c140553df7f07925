"""The contract for pictures: bytes ↔ 8-bit sRGB pixels. `docs/pictures.md` is its short form.

The way of a picture in: `sniffing` names the format by content → one reader (`jpeg`, `png`, `webp`, `others`)
reads the header, no pixels → `limits` → the reader loads pixels → `colour` makes sRGB and sets alpha apart →
orientation → arrays. A flawless JPEG that needs none of that becomes an array at once. What breaks the contract leaves
as `ImageRejected`, whatever a codec says about it.

Every function here is safe to call from many threads at once; no state of Pillow is changed.
It resizes only thumbnails, knows no storage and no tensors.
"""

from __future__ import annotations

from jobs.formats import OutputFormat
from worker.images.decode import Picture, PictureHeader, decode, inspect, thumbnail
from worker.images.encode import encode
from worker.images.limits import PictureLimits

__all__ = [
    "OutputFormat",
    "Picture",
    "PictureHeader",
    "PictureLimits",
    "decode",
    "encode",
    "inspect",
    "thumbnail",
]
