"""The parts that painting networks are made of: convolutions without borders, and enlarging without a grid.

Features are [N, C, H, W]. Heights and widths of pictures are multiples of `STEP`, and at least `LEAST_PX`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEP = 4  # two halvings
LEAST_PX = 16  # so that a reflection finds something to reflect, at a fourth of the size
_LEAST_VARIANCE = 1e-5  # a flat channel must not be divided by nothing


class Convolution(nn.Conv2d):
    """Of the same size, or of half of it: borders are reflections, so that none can be seen.

    Johnson et al. 2016, supplementary material, with reflections in place of zeros.
    """

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1) -> None:
        """`size`: of the kernel, odd."""
        super().__init__(inputs, outputs, size, stride=stride, padding=size // 2, padding_mode="reflect")


def enlarged(features: Tensor) -> Tensor:
    """Return features of twice the size, to be convolved.

    Odena, Dumoulin & Olah 2016, "Deconvolution and Checkerboard Artifacts": a transposed convolution draws a grid. In
    time one over nearest neighbours did so, too: it tells their rows apart. In what runs smoothly there are none.
    """
    return F.interpolate(features, scale_factor=2.0, mode="bilinear")


def mean_and_deviation(features: Tensor) -> Tensor:
    """Return mean and deviation of each channel, [N, 2, C]."""
    variance, mean = torch.var_mean(features, (2, 3), correction=0)
    return torch.stack((mean, (variance + _LEAST_VARIANCE).sqrt()), dim=1)


def with_statistics(features: Tensor, wanted: Tensor) -> Tensor:
    """Give features the mean and the deviation that are wanted, [N, 2, C].

    Huang & Belongie 2017, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization",
    arXiv:1703.06868, equation 8.
    """
    own, other = (each[..., None, None].unbind(1) for each in (mean_and_deviation(features), wanted))
    return (features - own[0]) / own[1] * other[1] + other[0]


def logit(pictures: Tensor) -> Tensor:
    """Return what a sigmoid turns into the pictures, as far as 8 bits tell it."""
    return pictures.clamp(1 / 255, 254 / 255).logit()
