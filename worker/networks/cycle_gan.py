"""Turns pictures of one kind into pictures of another, and back: two networks, and two that judge.

Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", arXiv:1703.10593.
Departures: the U-Net of `worker.networks.pix2pix`, which costs less than the paper's residual blocks at this size; what
it finds is added to the picture, so that both begin as no change.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.networks.painting import logit
from worker.networks.pix2pix import Discriminators, TranslationNetwork

WAYS = ("there", "back")
_QUIET = 0.1  # of the last layer, before training


class TurningNetworks(nn.Module):
    """One network for each way."""

    def __init__(self, *, width: int, depth: int) -> None:
        """Make them without knowledge; sizes are those of `TranslationNetwork`."""
        super().__init__()
        self.step = 2**depth  # sides of what goes in are multiples of it
        self.each = nn.ModuleList(TranslationNetwork(width=width, depth=depth) for _ in WAYS)
        with torch.no_grad():
            for network in self.each:
                network.out.weight.mul_(_QUIET)  # type: ignore[operator, union-attr]  # a convolution's

    def turn(self, pictures: Tensor, way: int) -> Tensor:
        """Return pictures of the other kind: float [N, 3, H, W] in [0, 1] both. `way`: a place in WAYS."""
        change: Tensor = self.each[way](pictures)
        return torch.sigmoid(logit(pictures) + change.logit(1e-4))


class CycleGan(nn.Module):
    """All four, as they are trained."""

    def __init__(self, *, width: int, depth: int, discriminator_width: int) -> None:
        """Make them without knowledge."""
        super().__init__()
        self.generators = TurningNetworks(width=width, depth=depth)
        self.discriminators = nn.ModuleList(Discriminators(width=discriminator_width, count=1) for _ in WAYS)

    def judge(self, pictures: Tensor, kind: int) -> Tensor:
        """Return for patches whether they are of pictures of this kind, 1, or were made, 0."""
        found: Tensor = self.discriminators[kind](pictures, pictures)[0][-1]
        return found.float()
