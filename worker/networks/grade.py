"""Looks at a product photo and at a reference, and predicts the colour table that carries the reference's grade over.

After the two-stage scheme of reference-based grading by 3-D tables (canonicalise the content, then grade it), with
learned basis tables as in Zeng et al. 2020, "Learning Image-adaptive 3D Lookup Tables", arXiv:2009.14468.
Departures: one small encoder serves both pictures; besides pooled convolution features it is given the picture's
colour quantiles and a soft 3-D histogram, because a grade is a change of colour statistics; both stages mix their
tables from one basis; and the network is told whether white is to stay white, which no picture can tell it.

Ranges: pictures are float sRGB in [0, 1]; tables [N, 3, D, D, D] are as `worker.networks.colour_table` has them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.colour_table import identity_table, look_up

THUMBNAIL_PX = 48  # chosen: what tells a grade are colours; a fourth of the pixels of 96 px pays for more examples
_QUANTILES = 17  # chosen: ends included, so black point and white point are seen
_BINS = 8  # chosen: 8^3 = 512 bins of the histogram
_STATISTICS_STEP = 2  # every second pixel of every second row enters the histogram


# ---------------------------------------------------------------------------------------------------------
# Statistics that need no learning


def colour_quantiles(pictures: Tensor) -> Tensor:
    """Sorted colours of each picture, thinned: of r, g, b, brightness and spread.

    Shape: [N, 3, H, W] -> [N, 5 * 17].
    """
    small = F.avg_pool2d(pictures, _STATISTICS_STEP)
    high, low = small.amax(1, keepdim=True), small.amin(1, keepdim=True)
    channels = torch.cat((small, small.mean(1, keepdim=True), high - low), dim=1).flatten(2)
    ordered = channels.sort(dim=2).values
    places = torch.linspace(0, ordered.shape[2] - 1, _QUANTILES, device=pictures.device).round().long()
    return ordered[:, :, places].flatten(1)


def colour_histogram(pictures: Tensor) -> Tensor:
    """Root of the soft 3-D histogram: a pixel is shared between the eight bins around it.

    The root (Hellinger) keeps small but telling colours from drowning in the background.
    Shape: [N, 3, H, W] -> [N, 512].
    """
    points = pictures[:, :, ::_STATISTICS_STEP, ::_STATISTICS_STEP].flatten(2)
    centres = torch.linspace(0, 1, _BINS, device=pictures.device)
    shares = (1 - (points[..., None] - centres).abs() * (_BINS - 1)).clamp(min=0)  # [N, 3, P, 8]
    red, green, blue = shares.unbind(1)
    pairs = (green[..., :, None] * blue[..., None, :]).flatten(2)  # [N, P, 64]
    joint = red.transpose(1, 2) @ pairs / points.shape[2]
    return (joint.flatten(1) + 1e-6).sqrt()


# ---------------------------------------------------------------------------------------------------------
# The network


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, 1, 1), nn.SiLU()
    )


def _moments(features: Tensor) -> list[Tensor]:
    """Per-channel mean and deviation over space: [N, C, H, W] -> two [N, C]."""
    mean = features.mean((2, 3))
    variance = (features - mean[:, :, None, None]).square().mean((2, 3))
    return [mean, (variance + 1e-5).sqrt()]


class GradeNetwork(nn.Module):
    """Encodes pictures, and turns a content code and a style code into tables."""

    def __init__(
        self,
        *,
        code: int = 128,  # numbers that a style consists of
        basis: int = 48,  # learned tables that every table is mixed from
        lattice: int = 9,  # D of the learned tables
        width: int = 32,  # channels of the first convolution
    ) -> None:
        super().__init__()
        wider, widest = 2 * width, 64
        self.stem = nn.Sequential(nn.Conv2d(3, width, 4, 4), nn.SiLU())  # 48 -> 12 px
        self.blocks = nn.ModuleList(
            (_block(width, width, 1), _block(width, wider, 2), _block(wider, widest, 2))  # 12, 6, 3 px
        )
        known = 5 * _QUANTILES + _BINS**3
        learned = 2 * (width + wider + widest) + 2 * widest
        self.to_code = nn.Sequential(nn.Linear(known + learned, 256), nn.SiLU(), nn.Linear(256, code))
        self.to_canonical = nn.Sequential(nn.Linear(code, 128), nn.SiLU(), nn.Linear(128, basis))
        self.to_grade = nn.Sequential(
            nn.Linear(3 * code + 1, 256), nn.SiLU(), nn.Linear(256, 128), nn.SiLU(), nn.Linear(128, basis)
        )
        self.basis = nn.Parameter(torch.randn(basis, 3, lattice, lattice, lattice) * 0.02)
        self.identity: Tensor
        self.register_buffer("identity", identity_table(lattice), persistent=False)
        for last in (self.to_canonical[-1], self.to_grade[-1]):  # both tables start near the identity
            assert isinstance(last, nn.Linear)
            nn.init.normal_(last.weight, std=0.02)
            nn.init.zeros_(last.bias)

    def encode(self, thumbnails: Tensor) -> Tensor:
        """Return the codes of pictures: [N, 3, 48, 48] in [0, 1] -> [N, code]."""
        features = self.stem(thumbnails * 2 - 1)
        statistics = [colour_quantiles(thumbnails), colour_histogram(thumbnails)]
        for block in self.blocks:
            features = block(features)
            statistics += _moments(features)
        inside = features[:, :, 1:-1, 1:-1]
        # Products stand in the middle: what lies at the edge is mostly background.
        edge = features.sum((2, 3)) - inside.sum((2, 3))
        cells = features.shape[2] * features.shape[3] - inside.shape[2] * inside.shape[3]
        statistics += [inside.mean((2, 3)), edge / cells]
        code: Tensor = self.to_code(torch.cat(statistics, dim=1))
        return code

    def tables(self, content: Tensor, style: Tensor, white_stays: Tensor) -> tuple[Tensor, Tensor]:
        """Return the table that takes the content's own grade off, and the one that puts the style's on.

        Shapes: content and style [N, code], white_stays [N, 1], 1 where a white background is to stay white and 0
        where it takes the style's tint like all else -> two [N, 3, D, D, D]; apply the first, then the second.
        """
        off = self.to_canonical(content)
        on = self.to_grade(torch.cat((content, style, style - content, white_stays), dim=1))
        mix = "nk,kczyx->nczyx"
        return (
            self.identity + torch.einsum(mix, off, self.basis),
            self.identity + torch.einsum(mix, on, self.basis),
        )

    def forward(self, content: Tensor, style: Tensor, white_stays: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
        """Return `colours` [N, P, 3] canonicalised, and then graded (not clamped)."""
        off, on = self.tables(content, style, white_stays)
        canonical = look_up(off, colours)
        return canonical, look_up(on, canonical)
