"""Makes small pictures out of a vector and words, and finds the vector of a picture.

Kingma & Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114, told the words as in Sohn et al. 2015,
"Learning Structured Output Representation using Deep Conditional Generative Models". Departures: residual blocks, which
vector and words steer at every size (`worker.networks.residual`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn

from worker.networks.residual import Doubled, Halved, Residual, normalisation
from worker.networks.words import Words

SMALLEST_PX = 4  # where painting begins


class Decoder(nn.Module):
    """Paints pictures, from 4 px on, each size twice the one before."""

    def __init__(
        self,
        *,
        side_px: int,
        width: int,  # channels at full size; twice as many at each smaller one, but not more than eight times as many
        code: int,  # length of what steers it
    ) -> None:
        """Make a decoder without knowledge."""
        super().__init__()
        steps = (side_px // SMALLEST_PX).bit_length() - 1
        if SMALLEST_PX << steps != side_px:
            raise TypeError(f"side_px is {side_px}: it must be 4 px doubled a few times")
        channels = [width * min(8, 1 << step) for step in range(steps, -1, -1)]
        self.channels = channels[0]
        self.begin = nn.Linear(code, channels[0] * SMALLEST_PX**2)
        self.blocks = nn.ModuleList(Residual(count, count, code) for count in channels)
        self.larger = nn.ModuleList(Doubled(*pair) for pair in pairwise(channels))
        self.end = nn.Sequential(normalisation(width), nn.SiLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, code: Tensor) -> Tensor:
        """Return pictures about in [0, 1]: float [N, code] -> [N, 3, side, side]."""
        features = self.begin(code).view(-1, self.channels, SMALLEST_PX, SMALLEST_PX)
        features = self.blocks[0](features, code)
        for larger, block in zip(self.larger, list(self.blocks)[1:], strict=True):
            features = block(larger(features), code)
        painted: Tensor = self.end(features)
        return painted.float() * 0.5 + 0.5


class Vae(nn.Module):
    """The network."""

    def __init__(
        self,
        *,
        side_px: int,  # of the pictures
        width: int,  # channels at full size
        latent: int,  # length of the vector
        code: int,  # length of what steers the painting
        attributes: Mapping[str, Sequence[str]] | None = None,  # the words of each; None: it is told none
    ) -> None:
        """Make a network without knowledge."""
        super().__init__()
        self.side_px, self.latent = side_px, latent
        self.words = Words(attributes or {}, code)
        sizes, channels = [], 3
        for step in range(1, (side_px // SMALLEST_PX).bit_length()):
            more = width * min(8, 1 << step)
            sizes += [Halved(channels, more), Residual(more, more, code)]
            channels = more
        self.encoder = nn.ModuleList(sizes)
        self.find = nn.Linear(channels * SMALLEST_PX**2, 2 * latent)
        self.steer = nn.Linear(latent, code)
        self.decoder = Decoder(side_px=side_px, width=width, code=code)

    def encode(self, pictures: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Return where pictures' vectors are, and the logarithms of how far around: float [N, latent] each.

        pictures: float [N, 3, side, side] in [0, 1]. words: int64 [N, A], as `Words` takes them.
        """
        code = self.words(words)
        features = pictures * 2 - 1
        for layer in self.encoder:
            features = layer(features, code) if isinstance(layer, Residual) else layer(features)
        mean, deviation = self.find(features.flatten(1)).float().chunk(2, dim=1)
        return mean, deviation.clamp(-8, 4)

    def decode(self, latents: Tensor, words: Tensor) -> Tensor:
        """Return pictures, float [N, 3, side, side], about in [0, 1]."""
        painted: Tensor = self.decoder(self.steer(latents) + self.words(words))
        return painted

    def forward(self, pictures: Tensor, words: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the pictures painted from a vector near their own, and `encode`'s answers. noise: [N, latent]."""
        mean, deviation = self.encode(pictures, words)
        return self.decode(mean + deviation.exp() * noise, words), mean, deviation


def divergence(mean: Tensor, deviation: Tensor) -> Tensor:
    """Return how far vectors are from chance, in nats each: float [N]. deviation: its logarithm."""
    return 0.5 * (mean.square() + (2 * deviation).exp() - 1 - 2 * deviation).sum(1)
