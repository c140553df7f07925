"""Makes small pictures, and learns to do so size by size: 4 px first, then 8 px …, in one run.

Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", arXiv:1710.10196: a
new size is faded in above those that have learned, in the generator and in its critic alike. Departures: learning rates
are not equalised, words are told (`worker.networks.words`), each size takes as many iterations as any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.gan import SLOPE
from worker.networks.vae import SMALLEST_PX
from worker.networks.words import Words


class Grown(nn.Module):
    """Knows how large pictures are by now: 0 says 4 px, 1.5 that 16 px are half faded in above 8 px."""

    grown: Tensor

    def __init__(self, side_px: int) -> None:
        """Begin with the smallest size."""
        super().__init__()
        self.side_px = side_px
        self.most = (side_px // SMALLEST_PX).bit_length() - 1
        self.register_buffer("grown", torch.zeros(()))

    def parts(self) -> tuple[int, float]:
        """Return the largest size that is there, by number, and how far it has been faded in, above 0 to 1."""
        grown = min(float(self.grown), float(self.most))
        size = -int(-grown // 1)
        return size, 1.0 if size == grown else grown - size + 1


class GrowingGenerator(Grown):
    """What makes pictures. It paints at the sizes that are there, and enlarges what comes of it."""

    def __init__(
        self,
        *,
        side_px: int,  # of the pictures
        width: int,  # channels at full size; twice as many at each smaller one, but not more than eight times as many
        latent: int,  # length of the vector of chance
        code: int,  # length of what steers the painting
        growth: int,  # iterations in which a size is faded in, and as many in which it is left alone
        attributes: Mapping[str, Sequence[str]] | None = None,  # the words of each; None: it is told none
    ) -> None:
        """Make a generator without knowledge."""
        super().__init__(side_px)
        self.latent = latent
        self.words = Words(attributes or {}, code)
        self.steer = nn.Linear(latent, code)
        channels = channels_of(width, self.most)
        self.begin = nn.Linear(code, channels[0] * SMALLEST_PX**2)
        self.blocks = nn.ModuleList(
            nn.Conv2d(before, count, 3, padding=1)
            for before, count in zip([channels[0], *channels], channels, strict=False)
        )
        self.colours = nn.ModuleList(nn.Conv2d(count, 3, 1) for count in channels)

    def forward(self, noise: Tensor, words: Tensor) -> Tensor:
        """Return pictures about in [0, 1]: noise float [N, latent], words as `Words` has them."""
        size, share = self.parts()
        features = self.begin(self.steer(noise) + self.words(words)).view(len(noise), -1, SMALLEST_PX, SMALLEST_PX)
        picture = torch.zeros(())
        for number, (block, colours) in enumerate(zip(self.blocks, self.colours, strict=True)):
            if number > size:
                break
            features = block(F.interpolate(features, scale_factor=2.0) if number else features)
            features = F.leaky_relu(features, SLOPE)
            features = features * (features.square().mean(1, keepdim=True) + 1e-8).rsqrt()  # section 4.2
            before, picture = picture, colours(features).float()
            if number == size and number and share < 1:
                picture = torch.lerp(F.interpolate(before, scale_factor=2.0), picture, share)
        return F.interpolate(picture, self.side_px) * 0.5 + 0.5


class GrowingCritic(Grown):
    """What tells pictures that were made from real ones, at the sizes that are there."""

    def __init__(self, *, side_px: int, width: int, attributes: Mapping[str, Sequence[str]] | None = None) -> None:
        """Make a critic without knowledge. width: channels at full size."""
        super().__init__(side_px)
        channels = channels_of(width, self.most)
        self.see = nn.ModuleList(nn.Conv2d(3, count, 1) for count in channels)
        self.blocks = nn.ModuleList(
            nn.Conv2d(count, after, 3, padding=1)
            for count, after in zip(channels, [channels[0], *channels], strict=False)
        )
        self.gather = nn.Linear((channels[0] + 1) * SMALLEST_PX**2, channels[0])
        self.judge = nn.Linear(channels[0], 1)
        self.words = Words(attributes or {}, channels[0])

    def forward(self, pictures: Tensor, words: Tensor) -> Tensor:
        """Return how real pictures of these words look: float [N]."""
        size, share = self.parts()
        seen = F.adaptive_avg_pool2d(pictures, SMALLEST_PX << size) * 2 - 1
        features = F.leaky_relu(self.see[size](seen), SLOPE)
        for number in range(size, -1, -1):
            features = F.leaky_relu(self.blocks[number](features), SLOPE)
            if number:
                features = F.avg_pool2d(features, 2)
            if number == size and number and share < 1:
                before = F.leaky_relu(self.see[number - 1](F.avg_pool2d(seen, 2)), SLOPE)
                features = torch.lerp(before, features, share)
        alike = (features.float().var(0, correction=0) + 1e-8).sqrt().mean()  # section 3
        features = torch.cat((features, alike.to(features.dtype).expand(len(features), 1, *features.shape[2:])), dim=1)
        found = F.leaky_relu(self.gather(features.flatten(1)), SLOPE)
        judged: Tensor = self.judge(found)[:, 0] + (found * self.words(words)).sum(1)
        return judged.float()


class GrowingGan(nn.Module):
    """Both of them, while they learn."""

    iterations: Tensor

    def __init__(
        self,
        *,
        side_px: int,
        width: int,
        latent: int,
        code: int,
        growth: int,
        attributes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Make both without knowledge."""
        super().__init__()
        self.growth = growth
        self.register_buffer("iterations", torch.zeros((), dtype=torch.int64))
        self.generator = GrowingGenerator(
            side_px=side_px, width=width, latent=latent, code=code, growth=growth, attributes=attributes
        )
        self.critic = GrowingCritic(side_px=side_px, width=width, attributes=attributes)

    def grow(self) -> None:
        """Count an iteration: a size is left alone for a while, then the next one is faded in."""
        self.iterations += 1
        size, rest = divmod(int(self.iterations), 2 * self.growth)
        grown = size + max(0, rest - self.growth) / self.growth
        for part in (self.generator, self.critic):
            part.grown.fill_(min(grown, part.most))


def channels_of(width: int, most: int) -> list[int]:
    """Return how many channels each size has, from 4 px on."""
    return [width * min(8, 1 << step) for step in range(most, -1, -1)]
