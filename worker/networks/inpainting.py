"""Fills what is missing in a picture, from the coarse to the fine.

Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution", arXiv:1806.03589: a network with skips, dilated in
the middle, of which every convolution has a gate that learns what to trust of what is known and what was guessed.
Departures: one small network takes the place of a coarse and a fine one; it goes through a pyramid of the picture, and
is shown at each size what it made of half of it. So the hole may be of any size, and what the network sees at once need
not be large. The pyramid is that of Gortler et al. 1996, "The Lumigraph", section 3.4 (pull and push): a pixel of half
the size is the mean of those that are known, and known if one of them is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.painting import enlarged

STEP = 4  # two halvings: sides of what goes in are multiples of it
REACH_PX = 48  # what lies further away does not tell on a pixel; a multiple of STEP
_DILATIONS = (1, 2, 4, 1)  # at a fourth of the size
_QUIET = 0.1  # of the last layer, before training: the first pictures are the guesses, almost


class InpaintingNetwork(nn.Module):
    """The network: a picture with a guess in its hole in, a better guess out."""

    def __init__(self, *, width: int) -> None:
        """Make a network without knowledge. `width`: channels at full size; four times as many at a fourth."""
        super().__init__()
        self.enter = _Gated(4, width)
        self.down = nn.ModuleList([_Gated(width, 2 * width, stride=2), _Gated(2 * width, 4 * width, stride=2)])
        self.middle = nn.ModuleList(_Gated(4 * width, 4 * width, dilation=dilation) for dilation in _DILATIONS)
        self.up = nn.ModuleList([_Gated(6 * width, 2 * width), _Gated(3 * width, width)])
        self.out = nn.Conv2d(width, 3, 3, padding=1, padding_mode="replicate")
        nn.init.orthogonal_(self.out.weight, _QUIET)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, filled: Tensor, hole: Tensor) -> Tensor:
        """Return the pictures with what belongs in their holes; outside of those they stay as they are.

        filled: float [N, 3, H, W] in [0, 1], with a guess in each hole. hole: float [N, 1, H, W], 1 or 0.
        """
        features: Tensor = self.enter(torch.cat((filled - 0.5, hole), dim=1))
        skips = []
        for layer in self.down:
            skips.append(features)
            features = layer(features)
        for layer in self.middle:
            features = features + layer(features)
        for layer, skip in zip(self.up, reversed(skips), strict=True):
            features = layer(torch.cat((enlarged(features), skip), dim=1))
        change: Tensor = self.out(features).float()
        return filled + hole * change

    def fill(self, pictures: Tensor, hole: Tensor, levels: int) -> list[Tensor]:
        """Return the pictures filled, from those of the smallest size to those of their own.

        pictures: float [N, 3, H, W] in [0, 1]; what is in the holes does not matter. hole: float [N, 1, H, W]. Both
        sides are multiples of STEP at the smallest of so many levels.
        """
        pyramid = [(pictures, 1 - hole)]
        for _ in range(levels - 1):
            pyramid.append(halved(*pyramid[-1]))
        guess = mean_colour(*pyramid[-1])
        found = []
        for values, known in reversed(pyramid):
            found.append(self(torch.where(known > 0, values, guess), 1 - known))
            guess = enlarged(found[-1])
        return found


class _Gated(nn.Module):
    """Equation 3 of the paper, with its ELU; borders go on, so that they are no frame."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.both = nn.Conv2d(
            inputs, 2 * outputs, 3, stride=stride, padding=dilation, dilation=dilation, padding_mode="replicate"
        )

    def forward(self, features: Tensor) -> Tensor:
        values, gates = self.both(features).chunk(2, dim=1)
        return F.elu(values) * torch.sigmoid(gates)


def halved(values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same at half the size: float [N, 3, H, W] and [N, 1, H, W]; sides are rounded up."""
    odd = (0, values.shape[3] % 2, 0, values.shape[2] % 2)
    values, known = F.pad(values * known, odd), F.pad(known, odd)
    counts = F.avg_pool2d(known, 2)
    return F.avg_pool2d(values, 2) / counts.clamp(min=0.25), (counts > 0).float()


def mean_colour(values: Tensor, known: Tensor) -> Tensor:
    """Return the mean of what is known of each picture, [N, 3, 1, 1]; grey where nothing is."""
    count = known.sum((2, 3), keepdim=True)
    mean = (values * known).sum((2, 3), keepdim=True) / count.clamp(min=1)
    return torch.where(count > 0, mean, 0.5)
