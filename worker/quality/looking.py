"""What the measures look at: a bounded choice of a picture's own pixels, its luminance, its gradients."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMINANCE = (0.2126, 0.7152, 0.0722)  # Rec. 709, of sRGB as it is stored: as the eye sees steps, not as light adds up


def thinned(picture: Tensor, side: int) -> Tensor:
    """Keep every n-th pixel of every n-th row, [c, h, w], so that not more than side² are left.

    Not averaged: what is kept are pixels of the picture, and equal colours stay equal.
    """
    step = thinning(picture.shape[1], picture.shape[2], side)
    return picture[:, ::step, ::step]


def thinning(height: int, width: int, side: int) -> int:
    """Return the n of `thinned`."""
    return max(1, math.ceil(math.sqrt(height * width) / side))


def windows(picture: Tensor, side: int, count: int) -> Tensor:
    """Cut count² windows of side² pixels, spread evenly, out of a picture [c, h, w]: [n, c, side, side].

    Nothing is scaled: detail is what it is at full size. A picture that is hardly larger comes as one window, whole.
    """
    _, height, width = picture.shape
    if height < side or width < side or height * width <= (side * count) ** 2:
        return picture[None]
    tops, lefts = (
        [round(number * (length - side) / (count - 1)) for number in range(count)] for length in (height, width)
    )
    return torch.stack([picture[:, top : top + side, left : left + side] for top in tops for left in lefts])


def luminance(pictures: Tensor) -> Tensor:
    """Return the luminance: uint8 or float [..., 3, h, w] of 0 to 255 -> float [..., h, w] of 0 to 1."""
    red, green, blue = (pictures[..., number, :, :].float() for number in range(3))
    return (red * _LUMINANCE[0] + green * _LUMINANCE[1] + blue * _LUMINANCE[2]) / 255


def slopes(luminances: Tensor) -> tuple[Tensor, Tensor]:
    """Return the central differences along rows and columns, each [..., h, w]; one-sided at the border."""
    return _slope(luminances, -1), _slope(luminances, -2)


def steepness(luminances: Tensor) -> Tensor:
    """Return the size of the gradient, [..., h, w]."""
    across, down = slopes(luminances)
    return torch.hypot(across, down)


def inner(mask: Tensor) -> Tensor:
    """Return where a pixel and its eight neighbours are the product: uint8 [1, h, w] -> float [h, w], 0 or 1.

    No difference between neighbours that is taken there sees the background. Outside the picture counts as inside.
    """
    background = (mask[None] < 128).float()
    return 1 - F.max_pool2d(background, 3, stride=1, padding=1)[0, 0]


def _slope(values: Tensor, dim: int) -> Tensor:
    length = values.shape[dim]
    if length == 1:
        return torch.zeros_like(values)
    result = torch.empty_like(values)
    ahead, behind = values.narrow(dim, 2, max(length - 2, 0)), values.narrow(dim, 0, max(length - 2, 0))
    torch.sub(ahead, behind, out=result.narrow(dim, 1, max(length - 2, 0))).mul_(0.5)
    first, last = values.narrow(dim, 1, 1) - values.narrow(dim, 0, 1), values.narrow(dim, length - 1, 1)
    result.narrow(dim, 0, 1).copy_(first)
    result.narrow(dim, length - 1, 1).copy_(last - values.narrow(dim, length - 2, 1))
    return result


def scaled(picture: Tensor, side: int) -> Tensor:
    """Shrink a picture, uint8 [3, h, w], until its longer side has `side` pixels: float [1, 3, h, w] in [0, 1]."""
    factor = min(1.0, side / max(picture.shape[1:]))
    size = [max(1, round(length * factor)) for length in picture.shape[1:]]
    values = picture[None].float() / 255
    return values if factor == 1 else F.interpolate(values, size, mode="bilinear", antialias=True)
