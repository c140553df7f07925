"""What `inpainting` learns: what is behind holes that are drawn into photos; see `worker.training.objectives`.

The loss is the mean distance of pixels in the hole (L1, as Yu et al. 2019, arXiv:1806.03589, section 3.4, but without
their discriminator), at each size of the pyramid, and that of neighbours' differences at the largest, so that lines go
on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.inpainting import InpaintingNetwork, mean_colour
from worker.quality.similarity import psnr_db
from worker.training.damage import random_holes
from worker.training.photos import Photos, random_crops, random_outlines, random_whites

SIZES: dict[str, int] = {"width": 16}
PHOTO_SIDE_PX = 224  # photos are kept at this size
CROP_PX = 96
LEVELS = 3  # sizes of the pyramid: 96, 48 and 24 px, as small as the smallest of a whole picture
SHEET_ROWS = 8
_ON_WHITE = 0.3  # of the examples; chosen
_EDGES = 0.5  # weight of neighbours' differences; chosen

CARD: dict[str, Any] = {
    "operation": "inpaint",
    "summary": "Fills what a mask marks, scratches, stickers or letters, from what is around it.",
    "needs_style": False,
    "limits": [
        "It continues what is around: it invents no objects, and no letters.",
        "Behind large holes fine texture is smooth: it gives the most plausible pixel.",
        "It fills what the mask marks and nothing else: mark letters with their soft edges and shadows.",
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """A batch."""

    pictures: Tensor  # float [N, 3, 96, 96] in [0, 1]
    holes: Tensor  # float [N, 1, 96, 96]: 1 is missing

    def to(self, device: torch.device) -> Examples:
        """Return the same on a device."""
        return Examples(pictures=self.pictures.to(device), holes=self.holes.to(device))


class InpaintingObjective:
    """The objective; see `worker.training.objectives.Objective`."""

    architecture = "inpainting"
    side_px = PHOTO_SIDE_PX
    probe_examples = 48
    headline = "held_out_psnr_db"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = CARD

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> InpaintingNetwork:
        """Return an untrained network."""
        return InpaintingNetwork(**sizes)

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Examples:
        which = torch.randint(len(photos), (count,), generator=generator)
        wide = random_crops(photos.pixels[which], 2 * CROP_PX, generator)
        near = wide[:, :, :CROP_PX, :CROP_PX]
        far = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
        pictures = torch.where(far, F.avg_pool2d(wide, 2), near)
        white = (torch.rand(count, 1, 1, 1, generator=generator) < _ON_WHITE).float()
        outline = torch.maximum(random_outlines(count, CROP_PX, generator), 1 - white)
        pictures = torch.lerp(random_whites(count, CROP_PX, generator), pictures, outline)
        return Examples(pictures=pictures, holes=random_holes(count, CROP_PX, generator))

    def loss(self, network: InpaintingNetwork, examples: Examples) -> Tensor:
        filled = network.fill(examples.pictures, examples.holes, LEVELS)
        loss = _edges_apart(filled[-1], examples) * _EDGES
        for found in filled:
            times = CROP_PX // found.shape[2]
            wanted, hole = F.avg_pool2d(examples.pictures, times), F.avg_pool2d(examples.holes, times)
            missing = (hole == 1).float()  # all of it: what is known in part is not for the network to change
            loss = loss + ((found - wanted).abs() * missing).sum() / (3 * missing.sum()).clamp(min=1)
        return loss

    @torch.inference_mode()
    def measure(self, network: InpaintingNetwork, examples: Examples) -> dict[str, float]:
        """Return likeness inside of the holes, of what is found there and of the mean colour around."""
        found = network.fill(examples.pictures, examples.holes, LEVELS)[-1]
        mean = mean_colour(examples.pictures, 1 - examples.holes).expand_as(found)
        return {
            "held_out_psnr_db": _psnr_db_inside(found, examples),
            "held_out_mean_colour_psnr_db": _psnr_db_inside(mean, examples),
        }

    @torch.inference_mode()
    def sample(self, network: InpaintingNetwork, examples: Examples) -> dict[str, Tensor]:
        few = Examples(pictures=examples.pictures[:SHEET_ROWS], holes=examples.holes[:SHEET_ROWS])
        found = network.fill(few.pictures, few.holes, LEVELS)[-1].clamp(0, 1)
        return {"with a hole": few.pictures * (1 - few.holes), "found": found, "photo": few.pictures}


def _edges_apart(found: Tensor, examples: Examples) -> Tensor:
    """Return the mean distance of neighbours' differences where a hole is near."""
    away = found - examples.pictures  # 0 outside of the holes
    return (away.diff(dim=2).abs().sum() + away.diff(dim=3).abs().sum()) / (6 * examples.holes.sum())


def _psnr_db_inside(found: Tensor, examples: Examples) -> float:
    """Return the mean over pictures of the likeness of the pixels that were missing."""
    each = [
        psnr_db(here.clamp(0, 1)[:, inside] * 255, there[:, inside] * 255)
        for here, there, inside in zip(found, examples.pictures, examples.holes[:, 0] > 0, strict=True)
    ]
    return sum(each) / len(each)
