"""What `vq_vae` learns: to write pictures in codes and to paint them from these; see `worker.training.objectives`.

van den Oord et al. 2017, arXiv:1711.00937, equation 3; the codebook follows the features as a moving average.
Departure: what is painted is compared by absolute differences, of pixels and of their slopes, so that edges stay sharp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from worker.networks.vq_vae import VqVae
from worker.training.photos import Photos
from worker.training.pictures import SIDE_PX, Pictures, check_side, draw_pictures

SIZES: dict[str, int] = {"side_px": SIDE_PX, "width": 64, "codes": 512, "code": 4}
SHEET_ROWS = 8
_COMMITMENT = 0.25  # the paper's β
_SLOPES = 1.0  # chosen

CARD: dict[str, Any] = {
    "operation": "describe",
    "summary": "Writes pictures in a few hundred codes, and paints them from these; the start of a diffusion on codes.",
    "limits": ["By itself it makes no pictures: it keeps those that there are."],
}


class VqVaeObjective:
    """The objective; see `worker.training.objectives.Objective`."""

    architecture = "vq_vae"
    side_px = SIDE_PX
    probe_examples = 128
    headline = "held_out_psnr_db"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = CARD

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> VqVae:
        """Return an untrained network."""
        check_side(sizes["side_px"], self.side_px)
        return VqVae(**sizes)

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Pictures:
        return draw_pictures(photos, count, generator)

    def loss(self, network: VqVae, examples: Pictures) -> Tensor:
        painted, features, codes = network(examples.pixels)
        with torch.autocast(features.device.type, enabled=False):
            network.learn_codes(features.detach())
            committed = (features - codes).square().mean()
            loss: Tensor = sharply_apart(painted, examples.pixels, _SLOPES) + _COMMITMENT * committed
        return loss

    @torch.inference_mode()
    def measure(self, network: VqVae, examples: Pictures) -> dict[str, float]:
        """Return PSNR of what is painted, and how many codes these pictures use."""
        painted, features, _ = network(examples.pixels)
        return {
            "held_out_psnr_db": psnr_db(painted, examples.pixels),
            "held_out_codes_used": float(len(torch.unique(network.nearest(features)))),
        }

    @torch.inference_mode()
    def sample(self, network: VqVae, examples: Pictures) -> dict[str, Tensor]:
        pictures = examples.first(SHEET_ROWS).pixels
        return {"picture": pictures, "painted": network(pictures)[0]}


def sharply_apart(found: Tensor, wanted: Tensor, slopes: float) -> Tensor:
    """Return the mean absolute difference of pixels, and as many times as said that of the slopes along both axes."""
    error = found - wanted
    return error.abs().mean() + slopes * torch.stack([error.diff(dim=axis).abs().mean() for axis in (2, 3)]).mean()


def psnr_db(found: Tensor, wanted: Tensor) -> float:
    """Return the mean over pictures in [0, 1] of their PSNR."""
    error = (found.clamp(0, 1) - wanted).square().mean((1, 2, 3)).clamp(min=1e-6)
    return float((-10 * error.log10()).mean())
