"""What `inpainting` learns: what is behind holes that are drawn into photos; see `worker.training.objectives`.

The loss is the mean distance of pixels in the hole (L1, as Yu et al. 2019, arXiv:1806.03589, section 3.4, but without
their discriminator), and that of neighbours' differences, so that lines go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.inpainting import InpaintingNetwork, smooth
from worker.quality.similarity import psnr_db
from worker.training.damage import random_holes
from worker.training.photos import Photos, random_crops, random_outlines, random_whites

SIZES: dict[str, int] = {"width": 16}
PHOTO_SIDE_PX = 224  # photos are kept at this size
CROP_PX = 96
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
    headline = "held_out_gain_db"
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
        away = self._filled(network, examples) - examples.pictures  # 0 outside of the holes
        edges = away.diff(dim=2).abs().sum() + away.diff(dim=3).abs().sum()
        return (away.abs().sum() + _EDGES * edges) / (3 * examples.holes.sum())

    @torch.inference_mode()
    def measure(self, network: InpaintingNetwork, examples: Examples) -> dict[str, float]:
        """Return likeness inside of the holes, of what is found there and of the smooth guess that it begins with."""
        found, guess = self._filled(network, examples), smooth(examples.pictures, examples.holes)
        of_guess = _psnr_db_inside(guess, examples)
        of_found = _psnr_db_inside(found, examples)
        return {
            "held_out_psnr_db": of_found,
            "held_out_smooth_psnr_db": of_guess,
            "held_out_gain_db": of_found - of_guess,
        }

    @torch.inference_mode()
    def sample(self, network: InpaintingNetwork, examples: Examples) -> dict[str, Tensor]:
        few = Examples(pictures=examples.pictures[:SHEET_ROWS], holes=examples.holes[:SHEET_ROWS])
        guess, found = smooth(few.pictures, few.holes), self._filled(network, few).clamp(0, 1)
        return {"hole": few.pictures * (1 - few.holes), "smooth": guess, "found": found, "photo": few.pictures}

    def _filled(self, network: InpaintingNetwork, examples: Examples) -> Tensor:
        found: Tensor = network(smooth(examples.pictures, examples.holes), examples.holes)
        return found


def _psnr_db_inside(found: Tensor, examples: Examples) -> float:
    """Return the likeness of all pixels that were missing: of single pictures one that is of one colour tells most."""
    missing = examples.holes.expand_as(found) > 0
    return psnr_db(found.clamp(0, 1)[missing] * 255, examples.pictures[missing] * 255)
