"""Finds a product that stands on a plain background, with OpenCV's GrabCut (Rother, Kolmogorov & Blake 2004).

The background's colour is smooth across the picture: a low polynomial through its border says what it is where the
product hides it. Where that fits badly the background is not plain, and there is no mask; nor where nothing differs
from it. GrabCut starts from the border as background and all else as product. What the product encloses is product:
through the handle of a mug the old background remains. How good the masks are is measured by `benchmarks.masks`.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jobs.errors import JobsError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Longer side at which the product is found. Measured on the sample catalogue: at 256 px the overlap with the true masks
# is 0.973 in the mean, holes apart, and takes 0.3 s; at 384 px it is 0.959 and 0.7 s, as soft shadows weigh more.
SIDE_PX = 256
_BORDER = 0.02  # of the longer side
_SPREAD_ALLOWED = 8.0  # of 255: what three quarters of the border may differ from the fit, else it is not plain
_NEAR = 7.0  # of 255: what differs from the fit by less may be background
_ROUNDS = 5
_LEAST, _MOST = 0.005, 0.95  # of the picture: a product is neither smaller nor larger


def product_on_plain(pixels: Pixels) -> Pixels | None:
    """Return the mask of what stands on a plain background, uint8 [H, W]; None where the background is not plain.

    Raises:
        JobsError: OpenCV is not installed: the extra `masks` has it.

    """
    cv2 = _opencv()
    small = Image.fromarray(pixels)
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
    colours = np.asarray(small, dtype=np.float32)
    ground = _ground(colours)
    if ground is None:
        return None
    if (np.abs(colours - ground).max(-1) > _NEAR).mean() < _LEAST:
        return None  # nothing stands there
    guess = np.where(_border(colours.shape[:2]), cv2.GC_BGD, cv2.GC_PR_FGD).astype(np.uint8)
    cv2.setRNGSeed(0)  # of this thread: equal pictures have equal masks
    models = np.zeros((2, 1, 65))
    blue_first = np.ascontiguousarray(np.asarray(small)[..., ::-1])
    cv2.grabCut(blue_first, guess, None, models[0], models[1], _ROUNDS, cv2.GC_INIT_WITH_MASK)
    product = _without_holes((guess == cv2.GC_FGD) | (guess == cv2.GC_PR_FGD), cv2)
    if not _LEAST <= product.mean() <= _MOST:
        return None
    height, width = pixels.shape[:2]
    mask = Image.fromarray(product.astype(np.uint8) * 255)
    return np.array(mask.resize((width, height), Image.Resampling.BICUBIC))


@cache
def _opencv() -> Any:
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise JobsError("masks from plain backgrounds need OpenCV: install restyle[masks]") from error


def _without_holes(product: NDArray[np.bool_], cv2: Any) -> NDArray[np.bool_]:
    """Count as product what it encloses: a white label on a white ground looks like a hole, and must not be lost."""
    _, regions = cv2.connectedComponents((~product).astype(np.uint8), connectivity=4)
    edge = np.concatenate((regions[0], regions[-1], regions[:, 0], regions[:, -1]))
    outside: NDArray[np.bool_] = np.isin(regions, edge[edge > 0])
    return ~outside


def _border(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    wide = max(1, round(_BORDER * max(shape)))
    border = np.ones(shape, dtype=bool)
    border[wide:-wide, wide:-wide] = False
    return border


def _ground(colours: Floats) -> Floats | None:
    """Return the background's colour at each place, [H, W, 3]; None: there is no plain one."""
    height, width = colours.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack((np.ones_like(x), x, y, x * y, x * x, y * y), axis=-1)
    border = _border((height, width))
    at, seen = terms[border], colours[border]
    used = np.ones(len(at), dtype=bool)
    for _ in range(4):  # a product that reaches the border is left out of the fit
        fit, *_ = np.linalg.lstsq(at[used], seen[used], rcond=None)
        away = np.abs(seen - at @ fit).max(-1)
        used = away <= max(float(np.median(away)) * 2.5, 2.0)
    if float(np.quantile(away, 0.75)) > _SPREAD_ALLOWED:
        return None
    found: Floats = (terms @ fit).clip(0, 255)
    return found
