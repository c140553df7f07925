"""Which libraries turn files into pixels and back: another version of one may give other bytes."""

from __future__ import annotations

from importlib.metadata import version

import PIL
from PIL import features

BESIDE_PILLOW = ("simplejpeg", "deflate")
CODECS = ("jpg", "libjpeg_turbo", "zlib", "zlib_ng", "libtiff", "webp", "avif", "littlecms2")


def versions() -> dict[str, str]:
    """Return the version of Pillow, of each library in it that pictures pass through, and of those beside it."""
    found = {name: features.version(name) for name in CODECS}
    beside = {name: version(name) for name in BESIDE_PILLOW}
    return {"pillow": PIL.__version__, **beside} | {name: one for name, one in found.items() if one is not None}
