"""Paints pictures in the manner of any others: a manner is the statistics of the features of its pictures.

Huang & Belongie 2017, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", arXiv:1703.06868.
Departures, to be light enough for large pictures, as Wang et al. 2023, "MicroAST: Towards Super-Fast Ultra-Resolution
Arbitrary Style Transfer", arXiv:2211.15313: a small encoder of its own takes the place of VGG19, which helps in
training only, and features take on a style at three sizes, not at the smallest alone. Departure from the latter: one
encoder serves photos and paintings, and statistics are handed on as they are, without a network that reads them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.painting import Convolution, enlarged, mean_and_deviation, with_statistics


class AnyPaintingNetwork(nn.Module):
    """The network."""

    def __init__(
        self,
        *,
        width: int,  # channels at full size; four times as many at a fourth
        blocks: int,  # residual blocks
    ) -> None:
        """Make a network without knowledge."""
        super().__init__()
        self._channels = (width, 2 * width, 4 * width)
        self.down = nn.ModuleList(
            [
                Convolution(3, width, 9),
                Convolution(width, 2 * width, 3, stride=2),
                Convolution(2 * width, 4 * width, 3, stride=2),
            ]
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(Convolution(4 * width, 4 * width, 3), nn.ReLU(), Convolution(4 * width, 4 * width, 3))
            for _ in range(blocks)
        )
        self.up = nn.ModuleList([Convolution(4 * width, 2 * width, 3), Convolution(2 * width, width, 3)])
        self.out = Convolution(width, 3, 9)

    def encode(self, pictures: Tensor) -> Tensor:
        """Return the code of each picture's manner: float [N, 3, H, W] in [0, 1] -> [N, 14 · width]."""
        return torch.cat([mean_and_deviation(level).flatten(1) for level in self._levels(pictures)], dim=1)

    def forward(self, pictures: Tensor, codes: Tensor) -> Tensor:
        """Return the pictures painted, float [N, 3, H, W] in (0, 1), each in the manner of its code."""
        sizes = [2 * channels for channels in self._channels]
        fine, middle, coarse = (part.view(len(part), 2, -1) for part in torch.split(codes, sizes, dim=1))
        features = with_statistics(self._levels(pictures)[-1], coarse)
        for block in self.blocks:
            features = features + block(features)
        for layer, wanted in zip(self.up, (middle, fine), strict=True):
            features = with_statistics(F.relu(layer(enlarged(features))), wanted)
        return torch.sigmoid(self.out(features))

    def _levels(self, pictures: Tensor) -> list[Tensor]:
        """Return features of full size, of half and of a fourth."""
        levels = []
        features = pictures * 2 - 1
        for layer in self.down:
            features = F.relu(layer(features))
            levels.append(features)
        return levels
