"""Which libraries turn files into pixels and back: another version of one may give other bytes."""

from __future__ import annotations

import PIL
from PIL import features

CODECS = ("jpg", "libjpeg_turbo", "zlib", "zlib_ng", "libtiff", "webp", "avif", "littlecms2")


def versions() -> dict[str, str]:
    """Return the version of Pillow and of each library in it that pictures pass through."""
    found = {name: features.version(name) for name in CODECS}
    return {"pillow": PIL.__version__} | {name: version for name, version in found.items() if version is not None}
