"""Writes pictures in a few hundred codes of a learned codebook, and paints them from these.

van den Oord et al. 2017, "Neural Discrete Representation Learning", arXiv:1711.00937, with the codebook as a moving
average (its appendix A.1); codes that nobody uses move to where features are, as in Dhariwal et al. 2020, "Jukebox",
arXiv:2005.00341, section 3.1. Departure: group normalisation. Few and short codes, as of
Rombach et al. 2022, arXiv:2112.10752, whose diffusion can work on them (`worker.networks.denoiser`). A place may have
several codes, each for a part of its features: Jégou et al. 2011, "Product Quantization for Nearest Neighbor Search".
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.residual import Doubled, Halved, Residual, normalisation

SCALE = 4  # pixels to a code, along each side
_DECAY = 0.99  # of the codebook's moving averages; the paper's
_UNUSED = 0.05  # places of a batch, in the mean, below which a code counts as not used; chosen
_MOVED = 0.25  # what one that has moved counts for; chosen: it then has some hundred batches to be used


class VqVae(nn.Module):
    """The network."""

    mean: Tensor
    deviation: Tensor
    codebook: Tensor
    sums: Tensor
    counts: Tensor

    def __init__(
        self,
        *,
        side_px: int,  # of the pictures
        width: int,  # channels at a fourth of the size
        codes: int,  # in the codebook
        code: int,  # length of a code
        parts: int = 1,  # codes of a place
    ) -> None:
        """Make a network without knowledge."""
        super().__init__()
        self.side_px, self.code, self.channels = side_px, code, code * parts
        self.encoder = nn.Sequential(
            Halved(3, width // 2),
            Residual(width // 2, width // 2),
            Halved(width // 2, width),
            Residual(width, width),
            Residual(width, width),
            normalisation(width),
            nn.Conv2d(width, self.channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(self.channels, width, 3, padding=1),
            Residual(width, width),
            Residual(width, width),
            Doubled(width, width // 2),
            Residual(width // 2, width // 2),
            Doubled(width // 2, width // 4),
            normalisation(width // 4),
            nn.SiLU(),
            nn.Conv2d(width // 4, 3, 3, padding=1),
        )
        codebook = torch.randn(codes, code)
        self.register_buffer("codebook", codebook)
        self.register_buffer("sums", codebook * _UNUSED)
        self.register_buffer("counts", torch.full((codes,), _UNUSED))  # so that they move to the first features
        self.register_buffer("mean", torch.zeros(self.channels))  # of features, for those who work on them
        self.register_buffer("deviation", torch.ones(self.channels))

    def encode(self, pictures: Tensor) -> Tensor:
        """Return features: float [N, 3, side, side] in [0, 1] -> float [N, code * parts, side / 4, side / 4]."""
        features: Tensor = self.encoder(pictures * 2 - 1)
        return features.float()

    def nearest(self, features: Tensor) -> Tensor:
        """Return which code of the book each part is nearest to: int64 [N, parts, side / 4, side / 4]."""
        flat = self._flat(features.detach())
        count, _, height, width = features.shape
        return torch.cdist(flat, self.codebook).argmin(1).view(count, -1, height, width)

    def look_up(self, places: Tensor) -> Tensor:
        """Return the codes at these places of the book: float [N, code * parts, h, w]."""
        return self.codebook[places].permute(0, 1, 4, 2, 3).flatten(1, 2)

    def _flat(self, features: Tensor) -> Tensor:
        """Return the parts of features as rows: float [N * parts * h * w, code]."""
        count, _, height, width = features.shape
        return features.view(count, -1, self.code, height, width).permute(0, 1, 3, 4, 2).reshape(-1, self.code)

    def decode(self, codes: Tensor) -> Tensor:
        """Return pictures, float [N, 3, side, side], about in [0, 1]."""
        painted: Tensor = self.decoder(codes)
        return painted.float() * 0.5 + 0.5

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the pictures painted from their codes, the features, and the codes that these are nearest to."""
        features = self.encode(pictures)
        codes = self.look_up(self.nearest(features))
        return self.decode(features + (codes - features).detach()), features, codes  # straight through

    @torch.no_grad()
    def learn_codes(self, features: Tensor) -> None:
        """Move the codebook towards the features that are nearest to each code, and codes that none is near to."""
        features = features.float()
        flat = self._flat(features)
        shares = F.one_hot(self.nearest(features).flatten(), len(self.codebook)).to(flat.dtype)
        self.counts.lerp_(shares.sum(0), 1 - _DECAY)
        self.sums.lerp_(shares.T @ flat, 1 - _DECAY)
        deviation, mean = torch.std_mean(features, dim=(0, 2, 3))
        self.mean.lerp_(mean, 1 - _DECAY)
        self.deviation.lerp_(deviation, 1 - _DECAY)
        unused = self.counts < _UNUSED
        moved = flat[torch.randint(len(flat), (len(self.codebook),), device=flat.device)]
        self.sums[unused], self.counts[unused] = moved[unused] * _MOVED, _MOVED
        self.codebook.copy_(self.sums / self.counts[:, None])
