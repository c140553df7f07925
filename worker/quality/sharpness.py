"""How much fine detail a picture has left."""

from __future__ import annotations

import torch
from torch import Tensor

from worker.quality.looking import inner, luminance, windows

_WINDOW_PX, _WINDOWS_A_SIDE = 40, 3  # looked at of a large picture, at full size: a blur of 1 px is gone when scaled
_FLAT = (0.5 / 255) ** 2  # what rounding to 8 bits alone may add to the mean squares


def sharpness(original: Tensor, restyled: Tensor, mask: Tensor | None = None) -> float:
    """Return the restyled product's fine detail over the original's: below 1 it is blurred, above 1 sharpened or noisy.

    Detail is the mean square of the Laplacian over that of the gradient: a change of contrast changes both alike and
    leaves it as it is, while blurring takes more of the first. Anchor: the variance of the Laplacian (Pech-Pacheco et
    al. 2000, "Diatom autofocusing in brightfield microscopy"), which any change of contrast would move.
    """
    kept = None if mask is None else windows(mask, _WINDOW_PX, _WINDOWS_A_SIDE)
    before, after = (_detail(windows(each, _WINDOW_PX, _WINDOWS_A_SIDE), kept) for each in (original, restyled))
    return after / before


def _detail(pictures: Tensor, masks: Tensor | None) -> float:
    """Return the detail of windows, uint8 [n, 3, h, w], inside their masks, uint8 [n, 1, h, w]."""
    luminances = luminance(pictures)
    if min(luminances.shape[1:]) < 3:
        return 1.0
    middle = luminances[:, 1:-1, 1:-1]
    left, right = luminances[:, 1:-1, :-2], luminances[:, 1:-1, 2:]
    above, below = luminances[:, :-2, 1:-1], luminances[:, 2:, 1:-1]
    bent = (left + right + above + below - 4 * middle).square()  # the Laplacian of five points
    steep = ((right - left).square() + (below - above).square()) / 4  # by central differences
    if masks is None:
        return (float(bent.mean()) + _FLAT) / (float(steep.mean()) + _FLAT)
    counted = torch.stack([inner(mask)[1:-1, 1:-1] for mask in masks])
    total = max(float(counted.sum()), 1.0)
    return (float((bent * counted).sum()) / total + _FLAT) / (float((steep * counted).sum()) / total + _FLAT)
