"""Makes small pictures in one go, having learned from a critic that tells them from real ones.

Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
arXiv:1511.06434. Departures: the generator paints with the residual blocks of `worker.networks.vae`, whose group
normalisation sees one picture alone, where DCGAN's sees the batch; the critic has no normalisation, which the gradient
penalty of `worker.training.gan` asks for, and judges words by projection (Miyato & Koyama 2018, arXiv:1802.05637) and
how alike the pictures of a batch are (Karras et al. 2018, arXiv:1710.10196, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.residual import Halved
from worker.networks.vae import SMALLEST_PX, Decoder
from worker.networks.words import Words

SLOPE = 0.2  # of what is negative; DCGAN's


class Generator(nn.Module):
    """What makes pictures."""

    def __init__(
        self,
        *,
        side_px: int,  # of the pictures
        width: int,  # channels at full size
        latent: int,  # length of the vector of chance
        code: int,  # length of what steers the painting
        attributes: Mapping[str, Sequence[str]] | None = None,  # the words of each; None: it is told none
    ) -> None:
        """Make a generator without knowledge."""
        super().__init__()
        self.side_px, self.latent = side_px, latent
        self.words = Words(attributes or {}, code)
        self.steer = nn.Linear(latent, code)
        self.decoder = Decoder(side_px=side_px, width=width, code=code)

    def forward(self, noise: Tensor, words: Tensor) -> Tensor:
        """Return pictures about in [0, 1]: noise float [N, latent], words as `Words` has them."""
        painted: Tensor = self.decoder(self.steer(noise) + self.words(words))
        return painted


class Critic(nn.Module):
    """What tells pictures that were made from real ones."""

    def __init__(self, *, side_px: int, width: int, attributes: Mapping[str, Sequence[str]] | None = None) -> None:
        """Make a critic without knowledge. width: channels at half the size."""
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for step in range((side_px // SMALLEST_PX).bit_length() - 1):
            more = width * min(8, 1 << step)
            layers += [Halved(channels, more), nn.LeakyReLU(SLOPE)]
            channels = more
        self.body = nn.Sequential(*layers)
        self.gather = nn.Linear((channels + 1) * SMALLEST_PX**2, 4 * width)
        self.judge = nn.Linear(4 * width, 1)
        self.words = Words(attributes or {}, 4 * width)

    def forward(self, pictures: Tensor, words: Tensor) -> Tensor:
        """Return how real pictures of these words look: float [N]."""
        features = self.body(pictures * 2 - 1)
        alike = (features.float().var(0, correction=0) + 1e-8).sqrt().mean()
        features = torch.cat((features, alike.to(features.dtype).expand(len(features), 1, *features.shape[2:])), dim=1)
        found = F.leaky_relu(self.gather(features.flatten(1)), SLOPE)
        judged: Tensor = self.judge(found)[:, 0] + (found * self.words(words)).sum(1)
        return judged.float()


class Gan(nn.Module):
    """Both of them, while they learn."""

    def __init__(
        self,
        *,
        side_px: int,
        width: int,
        latent: int,
        code: int,
        attributes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Make both without knowledge."""
        super().__init__()
        self.generator = Generator(side_px=side_px, width=width, latent=latent, code=code, attributes=attributes)
        self.critic = Critic(side_px=side_px, width=2 * width, attributes=attributes)
