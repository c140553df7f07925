"""Residual blocks that a code can steer: what the networks that make or read small pictures are built of.

He et al. 2016, "Identity Mappings in Deep Residual Networks", arXiv:1603.05027, with group normalisation (Wu & He 2018,
arXiv:1803.08494), which looks at one picture alone. A code scales and shifts features by channel, as in Perez et al.
2018, "FiLM", arXiv:1709.07871.
"""

from __future__ import annotations

from math import gcd

import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 8  # of channels that are normalised together


def normalisation(channels: int) -> nn.GroupNorm:
    """Return a group normalisation for so many channels."""
    return nn.GroupNorm(gcd(GROUPS, channels), channels)


class Residual(nn.Module):
    """Two convolutions, and what came in added to what they make. At first it changes nothing."""

    def __init__(
        self,
        inputs: int,  # channels
        outputs: int,
        code: int = 0,  # length of the code that steers it; 0: nothing does
    ) -> None:
        """Make a block without knowledge."""
        super().__init__()
        self.before, self.between = normalisation(inputs), normalisation(outputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        self.steer = nn.Linear(code, 2 * outputs) if code else None
        self.across = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, features: Tensor, code: Tensor | None = None) -> Tensor:
        """Return features [N, outputs, H, W]."""
        found = self.between(self.first(F.silu(self.before(features))))
        if self.steer is not None and code is not None:
            scale, shift = self.steer(code)[:, :, None, None].chunk(2, dim=1)
            found = found * (1 + scale) + shift
        changed: Tensor = self.across(features) + self.second(F.silu(found))
        return changed


class Halved(nn.Conv2d):
    """A convolution that halves height and width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make one without knowledge."""
        super().__init__(inputs, outputs, 4, stride=2, padding=1)


class Doubled(nn.Conv2d):
    """A convolution of features enlarged to twice their height and width: it leaves no checkerboard.

    Odena et al. 2016, "Deconvolution and Checkerboard Artifacts", doi:10.23915/distill.00003.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Make one without knowledge."""
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features [N, outputs, 2H, 2W]."""
        return super().forward(F.interpolate(features, scale_factor=2.0))
