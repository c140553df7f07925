"""Fills what is missing in a picture: smoothly first, and then with the lines and the shades that a network adds.

Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution", arXiv:1806.03589: a network with skips, dilated in
the middle, of which every convolution has a gate that learns what to trust of what is known and what was guessed.
Departures: the paper's coarse network gives way to a formula, a pyramid as of Gortler et al. 1996, "The Lumigraph",
section 3.4 (pull and push), with Jacobi's steps at each size. So a hole may be of any size, what is filled meets what
is around it, and the network, much smaller than the paper's, begins where formulas end.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.painting import enlarged

STEP = 4  # two halvings: sides of what goes in are multiples of it
REACH_PX = 48  # what lies further away does not tell on a pixel; a multiple of STEP
RELAXING = 8  # steps at each size; chosen: fewer leave the squares of the pyramid to be seen
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


def smooth(pictures: Tensor, hole: Tensor) -> Tensor:
    """Return the pictures, float [N, 3, H, W], with holes, float [N, 1, H, W], filled by what is around, smoothly."""
    pyramid = [(pictures, 1 - hole)]
    while max(pyramid[-1][0].shape[2:]) > 1:
        pyramid.append(halved(*pyramid[-1]))
    guess = torch.where(pyramid[-1][1] > 0, pyramid[-1][0], 0.5)  # grey where nothing is known at all
    for values, known in reversed(pyramid[:-1]):
        height, width = values.shape[2:]
        guess = relaxed(values, known, enlarged(guess)[:, :, :height, :width])
    return guess


def relaxed(values: Tensor, known: Tensor, guess: Tensor) -> Tensor:
    """Return what is known, and for the rest a guess that was made smooth: float [N, 3, H, W].

    Jacobi's steps towards what Laplace's equation says, from a guess that is right but for its finest parts.
    """
    filled = torch.where(known > 0, values, guess)
    for _ in range(RELAXING):
        around = F.avg_pool2d(F.pad(filled, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        filled = torch.where(known > 0, values, around)
    return filled
