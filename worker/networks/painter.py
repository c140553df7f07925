"""Paints pictures in one of the manners that it has learned: one pass, several manners in one network.

Johnson, Alahi & Fei-Fei 2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution",
arXiv:1603.08155, with the conditional instance normalisation of Dumoulin, Shlens & Kudlur 2017, "A Learned
Representation for Artistic Style", arXiv:1610.07629, equation 5.
Departures: narrower; reflections and enlarging in place of zeros and transposed convolutions, as in the second paper;
what comes out is the picture itself in the painting's colours, smeared along its forms and changed, so that little
training goes far; and the network is given strokes (`worker.networks.strokes`), where a picture is of one colour, as a
studio's background is, too (after Ulyanov et al. 2016, "Texture Networks", arXiv:1603.03417, which gives noise).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.painting import Convolution, enlarged
from worker.networks.strokes import STROKES, stroked

_CONTRAST = (0.02, 0.98)  # beyond, black is black and white is white
_LEAST_VARIANCE = 0.05  # of logits: what is flat stays flat
_MOST = 1.5  # of a logit, by which colours are changed; chosen: no spot can be glaring
_APART = 0.2  # deviation of what tells manners apart, before training; chosen: were they equal, they would stay so long


class PainterNetwork(nn.Module):
    """The network."""

    def __init__(
        self,
        *,
        paintings: Sequence[str],  # the manners' names
        width: int,  # channels at full size; four times as many at a fourth
        blocks: int,  # residual blocks
    ) -> None:
        """Make a network without knowledge."""
        super().__init__()
        self.paintings = tuple(paintings)
        manners = len(self.paintings)
        self.down = nn.ModuleList(
            [
                Convolution(6 + STROKES, width, 9),
                Convolution(width, 2 * width, 3, stride=2),
                Convolution(2 * width, 4 * width, 3, stride=2),
            ]
        )
        self.blocks = nn.ModuleList(
            nn.ModuleList([Convolution(4 * width, 4 * width, 3), Convolution(4 * width, 4 * width, 3)])
            for _ in range(blocks)
        )
        self.up = nn.ModuleList([Convolution(4 * width, 2 * width, 3), Convolution(2 * width, width, 3)])
        self.out = Convolution(width, 3, 9)
        # One for each convolution but the last, in their order.
        channels = [width, 2 * width, *[4 * width] * (2 * blocks + 1), 2 * width, width]
        self.normalise = nn.ModuleList(_Normalised(each, manners) for each in channels)
        # What shows through of picture and strokes: colours, normalised, by matrices and a shift for each manner.
        self.colours = nn.Parameter(torch.eye(3).repeat(manners, 1, 1))
        self.strokes = nn.Parameter(torch.zeros(manners, 3, STROKES))
        self.tint = nn.Parameter(torch.zeros(manners, 3))

    def forward(self, pictures: Tensor, noise: Tensor, shares: Tensor) -> Tensor:
        """Return the pictures painted, float [N, 3, H, W] in (0, 1).

        pictures: float [N, 3, H, W] in [0, 1]. noise: that of `worker.networks.strokes.noise`, one or N.
        shares: [N, paintings]: of which manner how much; each row's sum is 1.
        """
        normalise = iter(self.normalise)
        smeared, strokes = stroked(pictures, noise)
        features = torch.cat((pictures * 2 - 1, smeared * 2 - 1, strokes), dim=1)
        for layer in self.down:
            features = F.relu(next(normalise)(layer(features), shares))
        for block in self.blocks:
            first, second = cast("nn.ModuleList", block)
            changed = F.relu(next(normalise)(first(features), shares))
            features = features + next(normalise)(second(changed), shares)
        for layer in self.up:
            features = F.relu(next(normalise)(layer(enlarged(features)), shares))
        palette = torch.einsum("np,pcd->ncd", shares, torch.cat((self.colours, self.strokes), dim=2))
        shown = torch.einsum("ncd,ndhw->nchw", palette, torch.cat((_even(smeared), strokes), dim=1))
        changed = _MOST * torch.tanh(self.out(features).float() / _MOST)
        return torch.sigmoid(changed + shown.float() + (shares @ self.tint)[:, :, None, None])


class _Normalised(nn.Module):
    """Conditional instance normalisation: the one part that knows the manner."""

    def __init__(self, channels: int, manners: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(1 + _APART * torch.randn(manners, channels))
        self.shift = nn.Parameter(_APART * torch.randn(manners, channels))

    def forward(self, features: Tensor, shares: Tensor) -> Tensor:
        scale, shift = ((shares @ each)[:, :, None, None] for each in (self.scale, self.shift))
        return F.instance_norm(features) * scale + shift  # equation 5


def _even(pictures: Tensor) -> Tensor:
    """Return the pictures before a sigmoid, of about unit deviation in each channel."""
    values = pictures.clamp(*_CONTRAST).logit()
    variance, mean = torch.var_mean(values, (2, 3), correction=0, keepdim=True)
    return (values - mean) / (variance + _LEAST_VARIANCE).sqrt()
