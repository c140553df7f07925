"""What `vae` learns: pictures from a vector and words; see `worker.training.objectives`.

Kingma & Welling 2014, arXiv:1312.6114, equation 10, with as much trust in pixels as fits them best: Rybkin et al. 2021,
"Simple and Effective VAE Training with Calibrated Decoders", arXiv:2006.13202, equation 9. Departure: values are
distributed about what is painted as Laplace has it, whose middle is sharper than a mean. What a vector says counts
more than the bound has it (β of Higgins et al. 2017, "β-VAE"), because neighbouring pixels are not independent: without
that, vectors say again what words say, and lie where chance does not go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from worker.networks.vae import Vae, divergence
from worker.training.photos import Photos
from worker.training.pictures import SIDE_PX, Pictures, check_side, draw_pictures
from worker.training.vq_vae import psnr_db

SIZES: dict[str, int] = {"side_px": SIDE_PX, "width": 12, "latent": 16, "code": 128}
SHEET_ROWS = 8
_COUNTS = 16.0  # β: chosen, as if every square of 4 x 4 values were one
_PROBE_SEED = 0

CARD: dict[str, Any] = {
    "operation": "generate",
    "summary": "Makes small, soft pictures of products from words; vectors of pictures can be kept and mixed.",
    "parameters": {
        "variety": {
            "type": "number",
            "description": "How far from the most usual picture of its words one may be: 0 not at all, 1 as learned.",
            "default": 0.7,
            "minimum": 0.0,
            "maximum": 1.5,
        },
    },
    "limits": [
        "Pictures are soft: it answers with the mean of what it is not sure of.",
        "It knows the words and the kinds of pictures that it was trained on, and no others.",
    ],
}


class VaeObjective:
    """The objective; see `worker.training.objectives.Objective`."""

    architecture = "vae"
    side_px = SIDE_PX
    probe_examples = 128
    headline = "held_out_bits"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = CARD

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> Vae:
        """Return an untrained network."""
        check_side(sizes["side_px"], self.side_px)
        return Vae(**sizes)

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Pictures:
        return draw_pictures(photos, count, generator)

    def loss(self, network: Vae, examples: Pictures) -> Tensor:
        noise = torch.randn(len(examples.pixels), network.latent, device=examples.pixels.device)
        return _bound(network, examples, noise)[0]

    @torch.inference_mode()
    def measure(self, network: Vae, examples: Pictures) -> dict[str, float]:
        """Return PSNR of pictures painted from their vectors, how much these say, and the bound (more is better)."""
        bound, painted, said = _bound(network, examples, _noise(network, examples))
        return {
            "held_out_psnr_db": psnr_db(painted, examples.pixels),
            "held_out_nats": float(said.mean()),
            "held_out_bits": -float(bound) / math.log(2),
        }

    @torch.inference_mode()
    def sample(self, network: Vae, examples: Pictures) -> dict[str, Tensor]:
        few = examples.first(SHEET_ROWS)
        noise = _noise(network, few)
        return {
            "picture": few.pixels,
            "painted": network(few.pixels, few.words, torch.zeros_like(noise))[0],
            "by its words": network.decode(torch.zeros_like(noise), few.words),
            "another": network.decode(noise, few.words),
        }


def _bound(network: Vae, examples: Pictures, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the negative bound in nats per value, what is painted, and the vectors' nats: [], [N, 3, h, w], [N]."""
    painted, mean, deviation = network(examples.pixels, examples.words, noise)
    error = (painted - examples.pixels).abs().mean()
    said = divergence(mean, deviation)
    return (error + 1e-6).log() + _COUNTS * said.mean() / examples.pixels[0].numel(), painted, said


def _noise(network: Vae, examples: Pictures) -> Tensor:
    noise = torch.randn(len(examples.pixels), network.latent, generator=torch.Generator().manual_seed(_PROBE_SEED))
    return noise.to(examples.pixels.device)
