"""What `super_resolution` learns: from small copies of photos, the photos; see `worker.training.objectives`.

The loss is the mean distance of pixels (L1), as Lim et al. 2017 found best. The small copies are made by several
ways of shrinking, as shops' tools differ, bicubic most often; and they have 8 bits, as files have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.super_resolution import SuperResolutionNetwork, bicubic
from worker.quality.similarity import psnr_db
from worker.training.photos import Photos, random_crops

SIZES: dict[str, int] = {"scale": 2, "width": 32, "blocks": 4}
PHOTO_SIDE_PX = 224  # photos are kept at this size: smaller than they come, so that each pixel has detail of its own
CROP_PX = 96  # of the large pictures; a multiple of each scale
SHEET_ROWS = 8
_WAYS = ("bicubic", "bicubic", "bilinear", "area")  # of shrinking; chosen

CARD: dict[str, Any] = {
    "operation": "upscale",
    "summary": "Enlarges pictures, and draws edges and detail sharper than interpolation can.",
    "needs_style": False,
    "limits": [
        "It sharpens what is there: letters that cannot be read before cannot be read after.",
        "It learned from clean copies: noise, and the blocks of strong JPEG compression, are enlarged with the rest.",
        "It gives the most plausible pixel: fine texture is smoother than in a photo of that size.",
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """A batch."""

    large: Tensor  # float [N, 3, 96, 96] in [0, 1]
    ways: Tensor  # int [N]: of shrinking

    def to(self, device: torch.device) -> Examples:
        """Return the same on a device."""
        return Examples(large=self.large.to(device), ways=self.ways.to(device))

    def small(self, scale: int) -> Tensor:
        """Return small copies, float [N, 3, 96 / scale, 96 / scale] in [0, 1], of 256 steps."""
        size = self.large.shape[2] // scale
        copies = torch.cat([_shrunk(self.large[i : i + 1], size, int(way)) for i, way in enumerate(self.ways)])
        return (copies * 255).round().clamp(0, 255) / 255


class SuperResolutionObjective:
    """The objective; see `worker.training.objectives.Objective`."""

    architecture = "super_resolution"
    side_px = PHOTO_SIDE_PX
    probe_examples = 48
    headline = "held_out_gain_db"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = CARD

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> SuperResolutionNetwork:
        """Return an untrained network."""
        return SuperResolutionNetwork(**sizes)

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Examples:
        which = torch.randint(len(photos), (count,), generator=generator)
        large = random_crops(photos.pixels[which], CROP_PX, generator)
        upright = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
        ways = torch.randint(len(_WAYS), (count,), generator=generator)
        return Examples(large=torch.where(upright, large, large.transpose(2, 3)), ways=ways)

    def loss(self, network: SuperResolutionNetwork, examples: Examples) -> Tensor:
        return F.l1_loss(network(examples.small(network.scale)).float(), examples.large)

    @torch.inference_mode()
    def measure(self, network: SuperResolutionNetwork, examples: Examples) -> dict[str, float]:
        """Return likeness to the large pictures, of what the network and what bicubic interpolation make of copies."""
        small = examples.small(network.scale)
        found = _mean_psnr_db(network(small), examples.large)
        interpolated = _mean_psnr_db(bicubic(small, network.scale), examples.large)
        return {
            "held_out_psnr_db": found,
            "held_out_bicubic_psnr_db": interpolated,
            "held_out_gain_db": found - interpolated,
        }

    @torch.inference_mode()
    def sample(self, network: SuperResolutionNetwork, examples: Examples) -> dict[str, Tensor]:
        few = Examples(large=examples.large[:SHEET_ROWS], ways=examples.ways[:SHEET_ROWS])
        small = few.small(network.scale)
        interpolated = bicubic(small, network.scale).clamp(0, 1)
        return {"bicubic": interpolated, "found": network(small).clamp(0, 1), "photo": few.large}


def _shrunk(picture: Tensor, size: int, way: int) -> Tensor:
    mode = _WAYS[way]
    antialias = mode != "area"  # which averages as it is
    return F.interpolate(picture, (size, size), mode=mode, antialias=antialias)


def _mean_psnr_db(found: Tensor, wanted: Tensor) -> float:
    """Return the mean over pictures, [N, 3, h, w] in [0, 1]."""
    pairs = zip(found.clamp(0, 1) * 255, wanted * 255, strict=True)
    each = [psnr_db(first, second) for first, second in pairs]
    return sum(each) / len(each)
