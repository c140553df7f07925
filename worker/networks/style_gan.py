"""Makes small pictures in the manner of a style: a vector that can be kept, mixed, and brought nearer to what is usual.

Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks", arXiv:1812.04948:
chance and words become a style (the mapping network), which steers every size; styles of two pictures can be mixed by
size, and truncated. Layers as of Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN",
arXiv:1912.04958: styles modulate the convolutions' weights, and each size adds to the picture. Departures: no path
length regularisation, learning rates are not equalised; sizes for pictures of 64 px.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.gan import SLOPE, Critic
from worker.networks.vae import SMALLEST_PX
from worker.networks.words import Words

_DECAY = 0.995  # of the mean style; the paper's
_MAPPING_LAYERS = 4  # the paper has 8, for far more pictures


class Modulated(nn.Module):
    """A convolution whose weights a style scales by input channel; what comes out keeps its spread (equation 3)."""

    def __init__(self, inputs: int, outputs: int, style: int, *, side: int, spread: bool = True) -> None:
        """Make one without knowledge. side: of the kernel; spread: whether it is kept."""
        super().__init__()
        self.side, self.spread = side, spread
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side) / math.sqrt(inputs * side**2))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = nn.Linear(style, inputs)
        nn.init.ones_(self.scale.bias)

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """Return features [N, outputs, h, w]; style float [N, style].

        What a style does to weights is done to what goes in and what comes out: the same, and one convolution for all.
        """
        scale = self.scale(style)
        found = F.conv2d(features * scale[:, :, None, None], self.weight, padding=self.side // 2)
        if self.spread:
            power = scale.float().square() @ self.weight.float().square().sum((2, 3)).T
            found = found * (power + 1e-8).rsqrt()[:, :, None, None]
        return found + self.bias[:, None, None]


class Level(nn.Module):
    """What one size does: a convolution, noise, and what it adds to the picture."""

    def __init__(self, inputs: int, outputs: int, style: int) -> None:
        """Make one without knowledge."""
        super().__init__()
        self.convolution = Modulated(inputs, outputs, style, side=3)
        self.loudness = nn.Parameter(torch.zeros(()))
        self.colours = Modulated(outputs, 3, style, side=1, spread=False)

    def forward(self, features: Tensor, style: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return features, and what is added to the picture. noise: [N, 1, h, w]."""
        features = F.leaky_relu(self.convolution(features, style) + self.loudness * noise, SLOPE) * math.sqrt(2)
        return features, self.colours(features, style)


class StyleGenerator(nn.Module):
    """What makes pictures."""

    usual: Tensor

    def __init__(
        self,
        *,
        side_px: int,  # of the pictures
        width: int,  # channels at full size; twice as many at each smaller one, but not more than eight times as many
        style: int,  # length of a style, and of the vector of chance
        attributes: Mapping[str, Sequence[str]] | None = None,  # the words of each; None: it is told none
    ) -> None:
        """Make a generator without knowledge."""
        super().__init__()
        self.side_px, self.latent = side_px, style
        self.words = Words(attributes or {}, style)
        layers: list[nn.Module] = [nn.Linear(2 * style, style), nn.LeakyReLU(SLOPE)]
        for _ in range(_MAPPING_LAYERS - 1):
            layers += [nn.Linear(style, style), nn.LeakyReLU(SLOPE)]
        self.mapping = nn.Sequential(*layers)
        steps = (side_px // SMALLEST_PX).bit_length() - 1
        channels = [width * min(8, 1 << step) for step in range(steps, -1, -1)]
        self.begin = nn.Parameter(torch.randn(1, channels[0], SMALLEST_PX, SMALLEST_PX))
        self.levels = nn.ModuleList(
            Level(before, count, style) for before, count in zip([channels[0], *channels], channels, strict=False)
        )
        self.register_buffer("usual", torch.zeros(style))  # the mean style

    def style(self, noise: Tensor, words: Tensor) -> Tensor:
        """Return the styles of chance and words: float [N, style] each."""
        known = self.words(words)
        both = torch.cat([F.normalize(each, dim=1) * math.sqrt(self.latent) for each in (noise, known)], dim=1)
        style: Tensor = self.mapping(both)
        return style.float()

    def truncated(self, style: Tensor, share: float) -> Tensor:
        """Return styles at this share of their way from the usual one: 0 all alike, 1 as they are."""
        return torch.lerp(self.usual.expand_as(style), style, share)

    def paint(self, styles: Sequence[Tensor], noises: Sequence[Tensor]) -> Tensor:
        """Return pictures about in [0, 1]: a style [N, style] and noise [N, 1, h, w] for each size from 4 px on."""
        features = self.begin.expand(len(styles[0]), -1, -1, -1)
        picture = torch.zeros(len(styles[0]), 3, SMALLEST_PX, SMALLEST_PX, device=features.device)
        for number, (level, style, noise) in enumerate(zip(self.levels, styles, noises, strict=True)):
            if number:
                features = F.interpolate(features, scale_factor=2, mode="bilinear")
                picture = F.interpolate(picture, scale_factor=2, mode="bilinear")
            features, more = level(features, style, noise)
            picture = picture + more.float()
        return picture * 0.5 + 0.5

    def noises(self, count: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """Draw what makes the fine differences between pictures of one style, for each size."""
        sides = [SMALLEST_PX << step for step in range(len(self.levels))]
        return [torch.randn(count, 1, side, side, generator=generator) for side in sides]

    def forward(self, noise: Tensor, words: Tensor) -> Tensor:
        """Return pictures; fine differences come from torch's own chance."""
        style = self.style(noise, words)
        noises = [each.to(noise.device) for each in self.noises(len(noise))]
        return self.paint([style] * len(self.levels), noises)

    @torch.no_grad()
    def learn_usual(self, styles: Tensor) -> None:
        """Move the mean style towards the mean of these."""
        self.usual.lerp_(styles.float().mean(0), 1 - _DECAY)


class StyleGan(nn.Module):
    """Generator and critic, while they learn."""

    def __init__(
        self, *, side_px: int, width: int, style: int, attributes: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Make both without knowledge."""
        super().__init__()
        self.generator = StyleGenerator(side_px=side_px, width=width, style=style, attributes=attributes)
        self.critic = Critic(side_px=side_px, width=2 * width, attributes=attributes)
