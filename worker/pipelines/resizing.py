"""Looks at a picture at a smaller size, and brings what was changed there back to its own size.

Both go strip by strip, so that a large picture needs no copy in floating point, and one that the device cannot hold may
stay in memory. What a pixel becomes does not depend on how the strips lie: sums are of whole numbers, and interpolation
is written out, pixel by pixel, in rows and columns of the whole picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

STRIP_PIXELS = 1 << 20


def strips(height: int, width: int, *, step: int = 1) -> Iterator[tuple[int, int]]:
    """Yield first and last row (exclusive) of strips, of about a megapixel, that begin at a multiple of `step`."""
    rows = max(1, STRIP_PIXELS // (width * step)) * step
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def smaller(picture: Tensor, side: int, device: torch.device) -> Tensor:
    """Return a picture whose longer side is at most `side`: uint8 [3, h, w] -> float [1, 3, h', w'] in [0, 1].

    Squares of pixels are averaged first, as many as leave it at least as large as wanted; then it is resized. The
    picture may lie elsewhere than on the device, where the result is.
    """
    height, width = picture.shape[1:]
    longer = max(height, width)
    step = max(1, longer // side)
    averaged = [_averaged(picture[:, top:end].to(device), step) for top, end in strips(height, width, step=step)]
    found = torch.cat(averaged, dim=1)[None]
    if longer <= side:
        return found
    size = [max(1, round(length * side / longer)) for length in (height, width)]
    return F.interpolate(found, size, mode="bilinear", antialias=True).clamp(0, 1)


def _averaged(strip: Tensor, step: int) -> Tensor:
    """Average squares of pixels; those at the right and lower border may be narrower. Sums are exact."""
    values = strip.contiguous().float()
    if step == 1:
        return values / 255
    right, below = -values.shape[2] % step, -values.shape[1] % step
    sums = F.avg_pool2d(F.pad(values, (0, right, 0, below))[None], step, divisor_override=1)[0]
    counts = F.avg_pool2d(F.pad(torch.ones_like(values[:1]), (0, right, 0, below))[None], step, divisor_override=1)[0]
    return sums / (counts * 255)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the pixels of one axis lie between those of a smaller picture: four neighbours each, and their weights."""

    neighbours: Tensor  # int64 [length, 4]
    weights: Tensor  # float [length, 4]


class Enlarged:
    """A small picture that can be asked for rows of itself at a larger size, by bicubic interpolation (Keys 1981)."""

    def __init__(self, small: Tensor, height: int, width: int) -> None:
        """`small`: float [C, h, w], h and w at most height and width."""
        self._rows = _places(small.shape[1], height, small.device)
        columns = _places(small.shape[2], width, small.device)
        self._same = small.shape[1:] == (height, width)
        self._across = small if self._same else _sum(small, columns, axis=2)

    def rows(self, top: int, end: int) -> Tensor:
        """Return rows, float [C, end - top, width]."""
        if self._same:
            return self._across[:, top:end]
        part = _Places(self._rows.neighbours[top:end], self._rows.weights[top:end])
        return _sum(self._across, part, axis=1)


def _places(small: int, large: int, device: torch.device) -> _Places:
    at = (torch.arange(large, dtype=torch.float64) + 0.5) * small / large - 0.5
    first = at.floor()
    t = at - first
    weights = torch.stack([_keys(t + 1), _keys(t), _keys(1 - t), _keys(2 - t)], dim=1)
    neighbours = (first.long()[:, None] + torch.arange(-1, 3)).clamp(0, small - 1)
    return _Places(neighbours.to(device), weights.float().to(device))


def _keys(distance: Tensor) -> Tensor:
    """Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing", equation 15 (a = -1/2)."""
    d = distance.abs()
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return torch.where(d <= 1, near, far)


def _sum(values: Tensor, places: _Places, *, axis: int) -> Tensor:
    shape = (-1, 1) if axis == 1 else (-1,)
    terms = [
        values.index_select(axis, places.neighbours[:, number]) * places.weights[:, number].view(shape)
        for number in range(4)
    ]
    return (terms[0] + terms[1]) + (terms[2] + terms[3])


def padded(picture: Tensor, step: int, least: int) -> Tensor:
    """Repeat the last column and row of [N, C, h, w] until both sides are multiples of `step` and at least `least`."""
    height, width = (max(least, math.ceil(length / step) * step) for length in picture.shape[2:])
    return F.pad(picture, (0, width - picture.shape[3], 0, height - picture.shape[2]), mode="replicate")
