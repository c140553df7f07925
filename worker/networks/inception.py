"""The network whose features the published FID compares pictures by, without weights: they come from whoever has them.

Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", arXiv:1512.00567, in the form of 2015
that Heusel et al. 2017, arXiv:1706.08500, used, and with the names of its port to PyTorch, `pytorch-fid`: what is
averaged at a border is what is there, and the last block takes a maximum where the paper averages. Only features are
computed, no classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE_PX = 299  # at which it sees a picture
FEATURES = 2048
Kernel = int | tuple[int, int]


class _Step(NamedTuple):
    """A convolution of a block."""

    name: str
    outputs: int  # channels
    kernel: Kernel
    stride: int = 1


_Way = Sequence[_Step | tuple[_Step, _Step]]
"""What a block does one after the other; of two at once both see the same, and both count."""


class _Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padding: Kernel = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, image: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(image)))


class _Mixed(nn.Module):
    """Several ways through, and a pooled one, side by side."""

    def __init__(self, inputs: int, ways: Sequence[_Way], pool: Callable[[Tensor], Tensor], pooled: int = 0) -> None:
        super().__init__()
        self._ways = [[step if isinstance(step[0], tuple) else (step,) for step in way] for way in ways]
        self._pool = pool
        for way in self._ways:
            width = inputs
            for step in way:
                for each in step:
                    self.add_module(each.name, _of_step(width, each))
                width = sum(each.outputs for each in step)
        self.branch_pool = _Convolution(inputs, pooled, 1) if pooled else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        found = [self._along(way, image) for way in self._ways]
        return torch.cat([*found, self.branch_pool(self._pool(image))], dim=1)

    def _along(self, way: Sequence[Sequence[_Step]], image: Tensor) -> Tensor:
        for step in way:
            image = torch.cat([self.get_submodule(each.name)(image) for each in step], dim=1)
        return image


def _of_step(inputs: int, step: _Step) -> _Convolution:
    """Return a convolution that keeps the size, or with a stride takes no more than there is."""
    high, wide = step.kernel if isinstance(step.kernel, tuple) else (step.kernel, step.kernel)
    padding = (high // 2, wide // 2) if step.stride == 1 else (0, 0)
    return _Convolution(inputs, step.outputs, step.kernel, step.stride, padding)


def _averaged(image: Tensor) -> Tensor:
    return F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)


def _highest(image: Tensor) -> Tensor:
    return F.max_pool2d(image, 3, 1, 1)


def _halved(image: Tensor) -> Tensor:
    return F.max_pool2d(image, 3, 2)


def _a(inputs: int, pooled: int) -> _Mixed:
    narrow: _Way = [_Step("branch5x5_1", 48, 1), _Step("branch5x5_2", 64, 5)]
    twice: _Way = [_Step("branch3x3dbl_1", 64, 1), _Step("branch3x3dbl_2", 96, 3), _Step("branch3x3dbl_3", 96, 3)]
    return _Mixed(inputs, ([_Step("branch1x1", 64, 1)], narrow, twice), _averaged, pooled)


def _b(inputs: int) -> _Mixed:
    twice: _Way = [_Step("branch3x3dbl_1", 64, 1), _Step("branch3x3dbl_2", 96, 3), _Step("branch3x3dbl_3", 96, 3, 2)]
    return _Mixed(inputs, ([_Step("branch3x3", 384, 3, 2)], twice), _halved)


def _c(inputs: int, narrow: int) -> _Mixed:
    across, down = (1, 7), (7, 1)
    once: _Way = [
        _Step("branch7x7_1", narrow, 1),
        _Step("branch7x7_2", narrow, across),
        _Step("branch7x7_3", 192, down),
    ]
    twice: _Way = [
        _Step("branch7x7dbl_1", narrow, 1),
        _Step("branch7x7dbl_2", narrow, down),
        _Step("branch7x7dbl_3", narrow, across),
        _Step("branch7x7dbl_4", narrow, down),
        _Step("branch7x7dbl_5", 192, across),
    ]
    return _Mixed(inputs, ([_Step("branch1x1", 192, 1)], once, twice), _averaged, 192)


def _d(inputs: int) -> _Mixed:
    once: _Way = [_Step("branch3x3_1", 192, 1), _Step("branch3x3_2", 320, 3, 2)]
    more: _Way = [
        _Step("branch7x7x3_1", 192, 1),
        _Step("branch7x7x3_2", 192, (1, 7)),
        _Step("branch7x7x3_3", 192, (7, 1)),
        _Step("branch7x7x3_4", 192, 3, 2),
    ]
    return _Mixed(inputs, (once, more), _halved)


def _e(inputs: int, pool: Callable[[Tensor], Tensor]) -> _Mixed:
    def both(name: str) -> tuple[_Step, _Step]:
        return _Step(f"{name}a", 384, (1, 3)), _Step(f"{name}b", 384, (3, 1))

    once: _Way = [_Step("branch3x3_1", 384, 1), both("branch3x3_2")]
    twice: _Way = [_Step("branch3x3dbl_1", 448, 1), _Step("branch3x3dbl_2", 384, 3), both("branch3x3dbl_3")]
    return _Mixed(inputs, ([_Step("branch1x1", 320, 1)], once, twice), pool, 192)


class Inception(nn.Module):
    """The network."""

    def __init__(self) -> None:
        """Make a network without knowledge."""
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _a(192, 32), _a(256, 64), _a(288, 64)
        self.Mixed_6a, self.Mixed_6b = _b(288), _c(768, 128)
        self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = _c(768, 160), _c(768, 160), _c(768, 192)
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = _d(768), _e(1280, _averaged), _e(2048, _highest)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features: float [N, 3, h, w] in [0, 1] -> float [N, 2048]."""
        image = F.interpolate(pictures, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False) * 2 - 1
        image = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(image)))
        image = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(_halved(image)))
        image = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(_halved(image))))
        image = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(image)))))
        found: Tensor = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(image))).mean((2, 3))
        return found
