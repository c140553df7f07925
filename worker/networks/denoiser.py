"""Takes noise off small pictures, step by step, until one is there that fits the words.

Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, with the cosine schedule of Nichol &
Dhariwal 2021, arXiv:2102.09672, and a network that says v, as in Salimans & Ho 2022, arXiv:2202.00512. It works on
squares of 4 x 4 px: on their pixels, or, as of Rombach et al. 2022, "High-Resolution Image Synthesis with Latent
Diffusion Models", arXiv:2112.10752, on the codes that a network has for them (`worker.networks.vq_vae`). Departures:
words steer every block by scale and shift; two sizes alone, for pictures of 64 px and processors without a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.residual import Doubled, Halved, Residual, normalisation
from worker.networks.vq_vae import SCALE, VqVae
from worker.networks.words import Words

_WAVES = 32  # pairs that tell a time
_HEADS = 4


class Denoiser(nn.Module):
    """The network."""

    def __init__(
        self,
        *,
        side_px: int,  # of the pictures
        width: int,  # channels at a fourth of the size
        deep: int,  # channels at an eighth of it
        code: int,  # length of what steers it
        attributes: Mapping[str, Sequence[str]] | None = None,  # the words of each; None: it is told none
        codec: Mapping[str, Any] | None = None,  # sizes of the network whose codes it works on; None: on pixels
    ) -> None:
        """Make a network without knowledge."""
        super().__init__()
        self.side_px = side_px
        self.codec = None if codec is None else VqVae(**codec).requires_grad_(False)
        self.channels = 3 * SCALE**2 if self.codec is None else self.codec.channels
        self.words = Words(attributes or {}, code)
        self.time = nn.Sequential(nn.Linear(2 * _WAVES, code), nn.SiLU(), nn.Linear(code, code))
        self.begin = nn.Conv2d(self.channels, width, 3, padding=1)
        self.fine = nn.ModuleList(Residual(width, width, code) for _ in range(2))
        self.smaller = Halved(width, deep)
        self.coarse = nn.ModuleList(Residual(deep, deep, code) for _ in range(3))
        self.attention = Attention(deep)
        self.larger = Doubled(deep, width)
        self.last = nn.ModuleList(Residual(2 * width, width, code) for _ in range(2))
        self.end = nn.Sequential(normalisation(width), nn.SiLU(), nn.Conv2d(width, self.channels, 3, padding=1))

    @property
    def shape(self) -> tuple[int, int, int]:
        """What it takes noise off: of one picture."""
        return self.channels, self.side_px // SCALE, self.side_px // SCALE

    def forward(self, noisy: Tensor, times: Tensor, words: Tensor) -> Tensor:
        """Return v: float [N, C, h, w], times [N] from 0 (no noise) to 1 (nothing else), words as `Words` has them."""
        code = F.silu(self.time(waves(times)) + self.words(words))
        features = self.begin(noisy)
        kept = []
        for block in self.fine:
            features = block(features, code)
            kept.append(features)
        features = self.smaller(features)
        for place, block in enumerate(self.coarse):
            features = block(features, code)
            if place == 0:
                features = self.attention(features)
        features = self.larger(features)
        for block in self.last:
            features = block(torch.cat((features, kept.pop()), dim=1), code)
        found: Tensor = self.end(features)
        return found.float()

    @torch.no_grad()
    def hidden(self, pictures: Tensor) -> Tensor:
        """Return what it works on, about as wide as noise: float [N, 3, side, side] in [0, 1] -> [N, C, h, w]."""
        if self.codec is None:
            return F.pixel_unshuffle(pictures * 2 - 1, SCALE)
        return (self.codec.encode(pictures) - self._mean) / self._deviation

    @torch.no_grad()
    def shown(self, hidden: Tensor) -> Tensor:
        """Return the pictures of what it has worked on: float [N, 3, side, side], about in [0, 1]."""
        if self.codec is None:
            return F.pixel_shuffle(hidden, SCALE) * 0.5 + 0.5
        features = hidden * self._deviation + self._mean
        return self.codec.decode(self.codec.look_up(self.codec.nearest(features)))

    @property
    def _mean(self) -> Tensor:
        assert self.codec is not None
        return self.codec.mean[:, None, None]

    @property
    def _deviation(self) -> Tensor:
        assert self.codec is not None
        return self.codec.deviation[:, None, None]


class Attention(nn.Module):
    """Lets every place look at every other: Vaswani et al. 2017, arXiv:1706.03762. At first it changes nothing."""

    def __init__(self, channels: int) -> None:
        """Make one without knowledge."""
        super().__init__()
        self.before = normalisation(channels)
        self.look = nn.Conv2d(channels, 3 * channels, 1)
        self.tell = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.tell.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        batch, channels, height, width = features.shape
        parts = self.look(self.before(features)).reshape(batch, 3, _HEADS, channels // _HEADS, height * width)
        query, key, value = parts.transpose(3, 4).unbind(1)
        seen = F.scaled_dot_product_attention(query, key, value)
        told: Tensor = self.tell(seen.transpose(2, 3).reshape(batch, channels, height, width))
        return features + told


def waves(times: Tensor) -> Tensor:
    """Return times [N] as sines and cosines of them: float [N, 64]."""
    angles = times[:, None] * torch.logspace(0, 3, _WAVES, device=times.device)
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def shares(times: Tensor) -> tuple[Tensor, Tensor]:
    """Return how much of picture and of noise there is at these times, [N, 1, 1, 1] each: squares add up to 1."""
    angle = (times * (math.pi / 2)).view(-1, 1, 1, 1)
    return angle.cos(), angle.sin()
