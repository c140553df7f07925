"""What `diffusion` learns: how much noise there is in a picture of these words; see `worker.training.objectives`.

Ho et al. 2020, arXiv:2006.11239, algorithm 1, for v instead of the noise (Salimans & Ho 2022, arXiv:2202.00512,
appendix D). Some pictures come without words, so that words can be followed more closely later: Ho & Salimans 2022,
arXiv:2207.12598. Started from a `vq_vae` it works on that network's codes, which stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from worker.networks.denoiser import Denoiser, shares
from worker.networks.words import UNKNOWN
from worker.pipelines.diffusion import denoised
from worker.training.photos import Photos
from worker.training.pictures import SIDE_PX, Pictures, check_side, draw_pictures

SIZES: dict[str, Any] = {"side_px": SIDE_PX, "width": 48, "deep": 128, "code": 128}
SHEET_ROWS = 8
_WITHOUT_WORDS = 0.1  # of the pictures; the paper's
_PROBE_SEED = 0
_SHEET_STEPS, _SHEET_GUIDANCE = 25, 2.0

CARD: dict[str, Any] = {
    "operation": "generate",
    "summary": "Makes small pictures of products from words, by taking noise off step by step.",
    "parameters": {
        "steps": {
            "type": "integer",
            "description": "In how many steps noise is taken off: more take longer and look a little better.",
            "default": 30,
            "minimum": 1,
            "maximum": 250,
        },
        "guidance": {
            "type": "number",
            "description": "How much more than by itself it follows the words; much of it makes pictures alike.",
            "default": 2.0,
            "minimum": 0.0,
            "maximum": 10.0,
        },
    },
    "limits": ["It knows the words and the kinds of pictures that it was trained on, and no others."],
}


class DiffusionObjective:
    """The objective; see `worker.training.objectives.Objective`."""

    architecture = "diffusion"
    builds_on = "vq_vae"
    side_px = SIDE_PX
    probe_examples = 128
    headline = "held_out_closeness"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = CARD

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> Denoiser:
        """Return an untrained network."""
        check_side(sizes["side_px"], self.side_px)
        return Denoiser(**sizes)

    def sizes_on(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sizes of a network that works on the codes of one with this config."""
        return {**self.sizes, "codec": dict(config)}

    def adopt(self, network: Denoiser, weights: Mapping[str, Tensor]) -> None:
        """Give the network the one whose codes it is to work on."""
        assert network.codec is not None
        network.codec.load_state_dict(weights)

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Pictures:
        return draw_pictures(photos, count, generator)

    def loss(self, network: Denoiser, examples: Pictures) -> Tensor:
        count, device = len(examples.pixels), examples.pixels.device
        noise = torch.randn(count, *network.shape, device=device)
        # Spread evenly over all times: a batch then tells of all about as much.
        times = (torch.rand(1, device=device) + torch.arange(count, device=device) / count) % 1
        untold = torch.rand(count, 1, device=device) < _WITHOUT_WORDS
        words = torch.where(untold, UNKNOWN, examples.words)
        return _error(network, examples.pixels, words, noise, times)

    @torch.inference_mode()
    def measure(self, network: Denoiser, examples: Pictures) -> dict[str, float]:
        """Return how far v is from the right one with words and without; the headline falls with the first."""
        generator, count = torch.Generator().manual_seed(_PROBE_SEED), len(examples.pixels)
        device = examples.pixels.device
        noise = torch.randn(count, *network.shape, generator=generator).to(device)
        times = (torch.arange(count, device=device) + 0.5) / count
        told = float(_error(network, examples.pixels, examples.words, noise, times))
        without = torch.full_like(examples.words, UNKNOWN)
        untold = float(_error(network, examples.pixels, without, noise, times))
        return {"held_out_error": told, "held_out_error_without_words": untold, "held_out_closeness": -told}

    @torch.inference_mode()
    def sample(self, network: Denoiser, examples: Pictures) -> dict[str, Tensor]:
        few = examples.first(SHEET_ROWS)
        generator = torch.Generator().manual_seed(_PROBE_SEED)
        noises = [torch.randn(len(few.pixels), *network.shape, generator=generator) for _ in range(2)]
        made = {
            title: network.shown(
                denoised(network, noise.to(few.pixels.device), few.words, steps=_SHEET_STEPS, guidance=_SHEET_GUIDANCE)
            )
            for title, noise in zip(("made", "another"), noises, strict=True)
        }
        return {"picture": few.pixels, "all it can": network.shown(network.hidden(few.pixels)), **made}


def _error(network: Denoiser, pictures: Tensor, words: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    hidden = network.hidden(pictures)
    picture, chance = shares(times)
    v = network(picture * hidden + chance * noise, times, words)
    error: Tensor = (v - (picture * noise - chance * hidden)).square().mean()
    return error
