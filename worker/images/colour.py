"""Turns decoded pixels of any kind into sRGB and sets their alpha apart. It reads no files."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from jobs.errors import ErrorCode, ImageRejected
from worker.images.opened import Opened

_SRGB = ImageCms.createProfile("sRGB")
_MAX_PROFILE_BYTES = 4_000_000  # the largest printing profiles in use have 2.7 MB
_SPACES = {"RGB": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK"}
# The paper's white becomes sRGB's white and the ink's black its black, colours between keep their appearance.
_INTENTS = (ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Intent.PERCEPTUAL)


def split_alpha(image: Image.Image, opened: Opened) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours (mode RGB, L or CMYK) and the straight alpha (mode L), None where there is none."""
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode == "La":
        image = image.convert("LA")
    if image.mode in {"P", "PA"}:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if opened.colour_key is not None and image.mode in {"L", "RGB"}:
        return image, _keyed(image, opened.colour_key)
    if image.mode == "RGBA":
        return image.convert("RGB"), image.getchannel("A")
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    if image.mode in {"RGBX", "YCbCr"}:
        image = image.convert("RGB")
    if image.mode not in _SPACES:
        raise ImageRejected(ErrorCode.UNSUPPORTED_FORMAT, f"pixels of mode {image.mode} are not accepted")
    return image, None


def is_srgb(profile: bytes | None) -> bool:
    """Whether `to_srgb` leaves RGB of this profile as it is."""
    return _way(profile, "RGB") is None


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the picture in mode RGB, sRGB-encoded; a profile broken or of another space is ignored."""
    if profile and image.mode == "L" and profile[16:20] == _SPACES["RGB"]:
        image = image.convert("RGB")
    transform = _way(profile, image.mode)
    if transform is not None:
        try:
            return transform.apply(image)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a profile that cannot be applied is no reason to lose the picture
    return image if image.mode == "RGB" else image.convert("RGB")


def _way(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from a profile to sRGB, None where colours stay as they are."""
    return _transform(profile, mode) if profile and len(profile) <= _MAX_PROFILE_BYTES else None


@lru_cache(maxsize=16)  # a catalogue has a few profiles; at most 64 MB of them are kept
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the way from a profile to sRGB; None where there is none, or where it changes nothing.

    lcms keeps no state between pixels of one call, so threads may share a transform.
    """
    if profile[36:40] != b"acsp" or profile[16:20] != _SPACES[mode]:
        return None
    for intent in _INTENTS:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            transform = ImageCms.buildTransform(
                source, _SRGB, mode, "RGB", intent, ImageCms.Flags.BLACKPOINTCOMPENSATION
            )
            return None if _changes_nothing(transform, mode) else transform
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            continue
    return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether colours on a grid stay within one level: most profiles are sRGB under one of its many names."""
    if mode == "CMYK":
        return False
    levels = np.linspace(0, 255, 9, dtype=np.uint8)
    if mode == "L":
        grid = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
        probe = Image.fromarray(np.ascontiguousarray(grid[:, :, 0]))
    else:
        grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, 729, 3)
        probe = Image.fromarray(grid)
    turned = np.asarray(transform.apply(probe), dtype=np.int16)
    return bool(np.abs(turned - grid.astype(np.int16)).max() <= 1)


def _keyed(image: Image.Image, key: tuple[int, ...]) -> Image.Image:
    """Alpha 0 where the picture has exactly the colour key, else 255."""
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    matches = (pixels == np.array(key, dtype=np.uint8)).all(axis=-1)
    return Image.fromarray(np.where(matches, np.uint8(0), np.uint8(255)))
