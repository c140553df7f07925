"""Enlarges pictures: what bicubic interpolation makes of them, and the detail that a network adds.

Lim et al. 2017, "Enhanced Deep Residual Networks for Single Image Super-Resolution", arXiv:1707.02921: residual blocks
without normalisation, all at the small size; the last layer's channels become pixels as in Shi et al. 2016, "Real-Time
Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", arXiv:1609.05158.
Departures: far narrower; what is learned is the difference from bicubic interpolation (as Kim et al. 2016,
arXiv:1511.04587, learn that from the enlarged picture), so that the network begins where others end; PReLU, for so few
channels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_QUIET = 0.1  # of the last layer, before training: the first pictures are bicubic ones, almost


class SuperResolutionNetwork(nn.Module):
    """The network."""

    def __init__(
        self,
        *,
        scale: int,  # times as wide and as high
        width: int,  # channels
        blocks: int,  # residual blocks of two convolutions
    ) -> None:
        """Make a network without knowledge."""
        super().__init__()
        self.scale = scale
        self.reach_px = 2 * blocks + 2  # pixels of the small picture beyond which nothing tells on a pixel: 3 × 3 each
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.last = nn.Conv2d(width, 3 * scale**2, 3, padding=1)
        nn.init.orthogonal_(self.last.weight, _QUIET)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the pictures enlarged: float [N, 3, h, w] in about [0, 1] -> [N, 3, scale h, scale w]."""
        features = self.first(pictures - 0.5)
        for block in self.blocks:
            features = block(features)
        detail = F.pixel_shuffle(self.last(features), self.scale)
        return bicubic(pictures, self.scale) + detail


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(width, width, 3, padding=1)
        self.bend = nn.PReLU(width)
        self.two = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.two(self.bend(self.one(features)))
        return features + changed


def bicubic(pictures: Tensor, scale: int) -> Tensor:
    """Enlarge float [N, 3, h, w] by bicubic interpolation with a = -1/2 (Keys 1981), as Pillow does."""
    return F.interpolate(pictures.float(), scale_factor=float(scale), mode="bicubic", antialias=True)
