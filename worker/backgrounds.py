"""Puts something else in the place of a background: a colour, a gradient or a picture, and a soft shadow on it.

Where the mask is 255 the product's own pixels stay, bit by bit. Along soft edges product and background are mixed by
the mask; what shone through from the old background stays in them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from jobs.looks import ColourBackground, GradientBackground, PictureBackground
from worker.masks import Mask

Pixels = NDArray[np.uint8]
NewBackground = ColourBackground | GradientBackground | PictureBackground

# The shadow, in shares of the product's height; chosen by eye on products that stand, lie and hang.
_SHADOW_RISE = 0.12  # how far up from its lowest row the product throws one
_SHADOW_DROP = 0.015  # how far below itself
_SHADOW_BLUR = 0.03
_DARKEST = 0.7  # of the light that is taken away at 1


def compose(product: Pixels, mask: Mask, background: NewBackground, backdrop: Pixels | None) -> Pixels:
    """Return the product, uint8 [H, W, 3], on a new background. `backdrop`: the picture, for a picture background."""
    height, width = mask.shape
    ground = _ground(height, width, background, backdrop).astype(np.float32)
    if background.shadow:
        ground *= 1 - background.shadow * _DARKEST * _shadow(mask)[..., None]
    share = mask[..., None].astype(np.float32) / 255
    mixed = product * share + ground * (1 - share)
    # By choice and not by arithmetic: what is product is not even rounded.
    return np.where(mask[..., None] == 255, product, (mixed + 0.5).clip(0, 255).astype(np.uint8))


def _ground(height: int, width: int, background: NewBackground, backdrop: Pixels | None) -> Pixels:
    match background:
        case ColourBackground():
            return np.broadcast_to(_rgb(background.colour), (height, width, 3))
        case GradientBackground():
            down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
            rows = _rgb(background.top) * (1 - down) + _rgb(background.bottom) * down
            return np.broadcast_to((rows + 0.5).astype(np.uint8)[:, None], (height, width, 3))
        case PictureBackground():
            assert backdrop is not None
            return _covering(backdrop, height, width)


def _covering(picture: Pixels, height: int, width: int) -> Pixels:
    """Scale a picture until it covers the size, and cut the middle out of it."""
    scale = max(height / picture.shape[0], width / picture.shape[1])
    wide, high = width / scale, height / scale
    left, top = (picture.shape[1] - wide) / 2, (picture.shape[0] - high) / 2
    box = (max(left, 0), max(top, 0), min(left + wide, picture.shape[1]), min(top + high, picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS, box=box))


def _shadow(mask: Mask) -> NDArray[np.float32]:
    """Return how much shadow lies at each place, [H, W] in [0, 1]: the product's foot, let down and soft."""
    rows = np.flatnonzero((mask >= 128).any(1))
    if not len(rows):
        return np.zeros(mask.shape, np.float32)
    top, bottom = int(rows[0]), int(rows[-1])
    size = bottom - top + 1
    rise = (np.arange(len(mask)) - (bottom - _SHADOW_RISE * size)) / (_SHADOW_RISE * size)
    foot = (mask * rise.clip(0, 1)[:, None]).astype(np.uint8)
    lowered = np.zeros_like(foot)
    drop = min(round(_SHADOW_DROP * size), len(foot) - 1)
    lowered[drop:] = foot[: len(foot) - drop]
    soft = Image.fromarray(lowered).filter(ImageFilter.GaussianBlur(_SHADOW_BLUR * size))
    return np.asarray(soft, dtype=np.float32) / np.float32(255)


def _rgb(colour: str) -> NDArray[np.uint8]:
    return np.array(list(bytes.fromhex(colour.removeprefix("#"))), np.uint8)
