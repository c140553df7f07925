"""`diffusion`: makes pictures by taking noise off, step by step (`worker.networks.denoiser`).

Steps as in Song et al. 2021, "Denoising Diffusion Implicit Models", arXiv:2010.02502, without fresh noise; words are
followed more closely than the network does by itself, as in Ho & Salimans 2022, "Classifier-Free Diffusion Guidance",
arXiv:2207.12598.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from worker.networks.denoiser import Denoiser, shares
from worker.networks.words import UNKNOWN
from worker.pipelines.base import Parameters, Wish
from worker.pipelines.wishes import generate_each


class Diffusion:
    """The pipeline; see `worker.pipelines.base.GeneratingPipeline`."""

    def __init__(self, network: Denoiser, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device
        self.side_px = network.side_px
        self.attributes: Mapping[str, Sequence[str]] = network.words.attributes

    @torch.inference_mode()
    def generate(self, wishes: Sequence[Wish], parameters: Parameters) -> Tensor:
        """Make pictures. Parameters: `steps`, and `guidance`: how much more than by itself words are followed."""
        steps, guidance = int(parameters["steps"]), float(parameters["guidance"])

        def paint(words: Tensor, generator: torch.Generator) -> Tensor:
            noise = torch.randn(1, *self._network.shape, generator=generator).to(self._device)
            return self._network.shown(denoised(self._network, noise, words, steps=steps, guidance=guidance))

        return generate_each(wishes, self.attributes, paint, self._device)


def denoised(network: Denoiser, noise: Tensor, words: Tensor, *, steps: int, guidance: float) -> Tensor:
    """Return what is left of noise, float [N, C, h, w], when it is taken off in so many steps."""
    times = torch.linspace(1, 0, steps + 1, device=noise.device)
    found = noise
    for now, then in pairwise(times):
        (picture, chance), (next_picture, next_chance) = shares(now), shares(then)
        v = _guided(network, found, now, words, guidance)
        clean, noise = picture * found - chance * v, chance * found + picture * v
        found = next_picture * clean + next_chance * noise
    return found


def _guided(network: Denoiser, noisy: Tensor, time: Tensor, words: Tensor, guidance: float) -> Tensor:
    times = time.expand(len(noisy))
    if guidance == 0 or not words.shape[1]:
        return network(noisy, times, words)  # type: ignore[no-any-return]
    both = network(
        torch.cat((noisy, noisy)), torch.cat((times, times)), torch.cat((words, torch.full_like(words, UNKNOWN)))
    )
    told, untold = both.chunk(2)
    guided: Tensor = told + guidance * (told - untold)  # equation 6
    return guided


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> Diffusion:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = Denoiser(**config)
    network.load_state_dict(weights, strict=True)
    return Diffusion(network, device)
