"""Reads attributes off pictures: which kind, colour, material … a product has.

A small residual network (`worker.networks.residual`) with a head for each attribute. Its features, the vector that all
heads read, also serve to compare sets of pictures (`worker.quality.distribution`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from worker.networks.residual import Halved, Residual, normalisation


class AttributeReader(nn.Module):
    """The network."""

    def __init__(
        self,
        *,
        side_px: int,  # of the pictures
        width: int,  # channels at half the size; four times as many at an eighth and below
        features: int,  # length of the vector that says what a picture shows
        attributes: Mapping[str, Sequence[str]],  # the words of each attribute
    ) -> None:
        """Make a network without knowledge."""
        super().__init__()
        self.side_px = side_px
        self.attributes = {name: tuple(words) for name, words in attributes.items()}
        self.body = nn.Sequential(
            Halved(3, width),
            Residual(width, width),
            Halved(width, 2 * width),
            Residual(2 * width, 2 * width),
            Halved(2 * width, 4 * width),
            Residual(4 * width, 4 * width),
            Halved(4 * width, 4 * width),
            Residual(4 * width, 4 * width),
            normalisation(4 * width),
            nn.SiLU(),
        )
        self.gather = nn.Linear(8 * width, features)
        self.heads = nn.ModuleList(nn.Linear(features, len(words)) for words in self.attributes.values())

    def features(self, pictures: Tensor) -> Tensor:
        """Return what pictures show: float [N, 3, side, side] in [0, 1] -> float [N, features]."""
        places = self.body(pictures * 2 - 1).flatten(2)
        found: Tensor = self.gather(torch.cat((places.mean(2), places.amax(2)), dim=1))
        return found

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return for each attribute how well each of its words fits, as logarithms: float [N, words] each."""
        features = nn.functional.silu(self.features(pictures))
        return [head(features) for head in self.heads]
