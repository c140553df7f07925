"""Draws strokes: noise, and the picture itself, smeared along what is to be seen in it, and in eddies where nothing is.

Cabral & Leedom 1993, "Imaging Vector Fields Using Line Integral Convolution"; the directions are those of the smoothed
structure tensor (after Kyprianidis & Kang 2011, "Image and Video Abstraction by Coherence-Enhancing Filtering").
A network that is given strokes need not learn to make some of noise.

Strokes are drawn at half of the picture's size: cheaper, and wide enough to be seen; pixels are those of that half.
Directions are [N, 2, h, w]: cosine and sine of the doubled angle, so that opposite directions are one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STROKES = 2  # planes: thin ones, thick ones
NOISES = STROKES + 2  # planes that they are made of

_CELLS_PX = (1, 3)  # of their noise: about how wide they are
_EDDY_PX = 40  # from one eddy to the next
_STEPS = 8  # to each side: half of a stroke's length in pixels
_CRISP = 1.5  # chosen: a stroke has an edge, and noise has none
_SMOOTH_PX = 7  # over which directions are averaged
_LEAST_EDGE = 1e-3  # squared difference of neighbours beside which an eddy counts for nothing; of values in [0, 1]


def noise(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw what strokes on pictures of that size, both sides even, are made of, on the CPU: noise, and eddies.

    Shape: [count, NOISES, height / 2, width / 2].
    """

    def plane(cell: int) -> Tensor:
        small = torch.randn(count, 1, height // 2 // cell + 2, width // 2 // cell + 2, generator=generator)
        large = F.interpolate(small, scale_factor=float(cell), mode="bilinear")
        return large[:, :, : height // 2, : width // 2]

    eddies = torch.cat((plane(_EDDY_PX), plane(_EDDY_PX)), dim=1)
    return torch.cat((*map(plane, _CELLS_PX), F.normalize(eddies, dim=1)), dim=1)


def stroked(pictures: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pictures smeared, [N, 3, H, W], and strokes, from -1 to 1, [N, STROKES, H, W].

    pictures: [N, 3, H, W] in [0, 1], both sides even. drawn: [N, NOISES, H / 2, W / 2] or [1, …], see `noise`.
    """
    halves = F.avg_pool2d(pictures, 2)
    planes, eddies = drawn[:, :STROKES].expand(len(pictures), -1, -1, -1), drawn[:, STROKES:]
    found = _smeared(torch.cat((halves, planes), dim=1), _directions(halves) + _LEAST_EDGE * eddies)
    large = F.interpolate(found, scale_factor=2.0, mode="bilinear")
    return large[:, :3], torch.tanh(_CRISP * F.instance_norm(large[:, 3:]))


def _directions(pictures: Tensor) -> Tensor:
    """Return along what edges run, as long as they are strong."""
    grey = F.pad(pictures.mean(1, keepdim=True), (1, 1, 1, 1), mode="reflect")
    across = grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]
    down = grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]
    along = torch.cat((down**2 - across**2, -2 * across * down), dim=1)
    for _ in range(2):
        along = F.avg_pool2d(along, _SMOOTH_PX, 1, _SMOOTH_PX // 2, count_include_pad=False)
    return along


def _smeared(planes: Tensor, directions: Tensor) -> Tensor:
    """Return averages along the directions, the middle counting most."""
    count, channels, height, width = planes.shape
    pixel = planes.new_tensor([2 / width, 2 / height])
    here = F.affine_grid(torch.eye(2, 3, device=planes.device).expand(count, 2, 3), [count, 1, height, width], False)
    both = torch.cat((planes, directions), dim=1)
    total, weights = planes.clone(), 1.0
    for sign in (1.0, -1.0):
        places, heading = here, sign * _headings(directions)
        for step in range(1, _STEPS + 1):
            places = places + heading * pixel
            there = F.grid_sample(both, places, mode="bilinear", padding_mode="reflection", align_corners=False)
            weight = 1 - step / (_STEPS + 1)
            total, weights = total + weight * there[:, :channels], weights + weight
            turned = _headings(there[:, channels:])
            heading = torch.where((turned * heading).sum(3, keepdim=True) < 0, -turned, turned)
    return total / weights


def _headings(directions: Tensor) -> Tensor:
    """Return one of the two headings of each direction, [N, h, w, 2]: across and down."""
    angle = torch.atan2(directions[:, 1], directions[:, 0]) / 2
    return torch.stack((angle.cos(), angle.sin()), dim=3)
