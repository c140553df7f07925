"""Turns drawings, masks or depth into pictures, and judges how real they look.

Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004: a U-Net, and a
discriminator that judges patches of drawing and picture together (sections 3.2.1 and 3.2.2). With more than one
discriminator they look at several sizes, as in Wang et al. 2018, "High-Resolution Image Synthesis and Semantic
Manipulation with Conditional GANs" (pix2pixHD), arXiv:1711.11585, section 3.2.
Departures: features are enlarged and convolved, where the paper has transposed convolutions, which draw a grid
(`worker.networks.painting.enlarged`); instances are normalised, not batches, so that no picture tells on another; no
noise goes in: equal drawings have equal pictures; words may say what a drawing does not, such as colours, and steer by
channel (Perez et al. 2018, "FiLM", arXiv:1709.07871), and then every place is normalised by itself (Karras et al. 2018,
arXiv:1710.10196, section 4.2), as the colour of a ground would otherwise depend on how large the product is; what
judges normalises nothing; narrower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.painting import enlarged
from worker.networks.words import Words

_SLOPE = 0.2
_LEAST = 1e-8
_WIDEST = 4  # times the width; the paper has 8
_CODE = 64  # length of what words come to


class TranslationNetwork(nn.Module):
    """The U-Net."""

    def __init__(
        self,
        *,
        width: int,  # channels after the first convolution
        depth: int,  # halvings: sides are multiples of 2 to the power of it
        attributes: Mapping[str, Sequence[str]] | None = None,  # the words of each; None: it is told none
    ) -> None:
        """Make a network without knowledge."""
        super().__init__()
        channels = [min(2**level, _WIDEST) * width for level in range(depth)]
        self.words = Words(attributes or {}, _CODE)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise([3, *channels]))
        back = [channels[0], *channels[:-1]]  # what comes out at each size, from the largest
        inputs = [2 * each for each in channels[:-1]] + [channels[-1]]  # with what skips the smaller sizes
        self.up = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(inputs, back, strict=True))
        self.steer = nn.ModuleList(nn.Linear(_CODE, 2 * count) for count in (back if attributes else ()))
        self.out = nn.Conv2d(channels[0] + 3, 3, 3, padding=1)

    def forward(self, drawings: Tensor, words: Tensor | None = None) -> Tensor:
        """Return pictures: float [N, 3, H, W] in [0, 1] both.

        words: int64 [N, A], as `Words` has them; None: of a network that is told none.
        """
        skips: list[Tensor] = []
        features = drawings * 2 - 1
        for number, layer in enumerate(self.down):
            features = F.leaky_relu(layer(features), _SLOPE)
            # As a picture the smallest may be one pixel, which has no deviation.
            if number and (self.steer or number < len(self.down) - 1):
                features = self._normal(features)
            skips.append(features)
        features, code = skips.pop(), None if words is None else self.words(words)
        for number, layer in reversed(list(enumerate(self.up))):
            features = self._normal(layer(enlarged(features)))
            if self.steer and code is not None:
                scale, shift = self.steer[number](code)[:, :, None, None].chunk(2, dim=1)
                features = features * (1 + scale) + shift
            features = torch.cat((F.relu(features), skips.pop() if number else drawings * 2 - 1), dim=1)
        return torch.sigmoid(self.out(features).float())

    def _normal(self, features: Tensor) -> Tensor:
        """Return features normalised by picture, or, where words steer, to a mean square of 1 at every place."""
        if not self.steer:
            return F.instance_norm(features)
        return features * (features.square().mean(dim=1, keepdim=True) + _LEAST).rsqrt()


class Discriminators(nn.Module):
    """Judges pictures beside their drawings, patch by patch, at one size or at several, each half of the one before."""

    def __init__(self, *, width: int, count: int) -> None:
        """Make them without knowledge. `width`: channels after the first convolution."""
        super().__init__()
        self.each = nn.ModuleList(_patches(width) for _ in range(count))

    def forward(self, drawings: Tensor, pictures: Tensor) -> list[list[Tensor]]:
        """Return for each size the features of each layer; the last are judgements, 1: real, 0: made."""
        seen, found = torch.cat((drawings, pictures), dim=1) * 2 - 1, []
        for layers in self.each:
            features, values = [], seen
            for layer in cast("nn.ModuleList", layers):
                values = layer(values)
                features.append(values)
            found.append(features)
            seen = F.avg_pool2d(seen, 2)
        return found


class Pix2Pix(nn.Module):
    """Both, as they are trained."""

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        discriminators: int,
        discriminator_width: int,
        attributes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Make them without knowledge."""
        super().__init__()
        self.generator = TranslationNetwork(width=width, depth=depth, attributes=attributes)
        self.discriminator = Discriminators(width=discriminator_width, count=discriminators)


def _patches(width: int) -> nn.ModuleList:
    """Return the layers of one discriminator: each judgement is of a patch of 34 px, as the appendix's 16 and 70."""

    def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        convolution = nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1)
        return nn.Sequential(convolution, nn.LeakyReLU(_SLOPE))

    first = nn.Sequential(nn.Conv2d(6, width, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE))
    return nn.ModuleList(
        [first, block(width, 2 * width, 2), block(2 * width, 4 * width, 1), nn.Conv2d(4 * width, 1, 4, padding=1)]
    )
