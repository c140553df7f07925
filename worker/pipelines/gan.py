"""`gan` and `growing_gan`: make pictures in one go out of a vector of chance and words.

See `worker.networks.gan` and `worker.networks.growing_gan`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.networks.gan import Generator
from worker.networks.growing_gan import GrowingGenerator
from worker.pipelines.base import Parameters, Wish
from worker.pipelines.wishes import generate_each


class Gan:
    """The pipeline; see `worker.pipelines.base.GeneratingPipeline`."""

    def __init__(self, network: Generator | GrowingGenerator, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device
        self.side_px = network.side_px
        self.attributes: Mapping[str, Sequence[str]] = network.words.attributes

    @torch.inference_mode()
    def generate(self, wishes: Sequence[Wish], parameters: Parameters) -> Tensor:
        """Make pictures. Parameter: `variety`, how far from the most usual picture of its words one may be."""
        variety = float(parameters["variety"])

        def paint(words: Tensor, generator: torch.Generator) -> Tensor:
            vector = variety * torch.randn(1, self._network.latent, generator=generator)
            painted: Tensor = self._network(vector.to(self._device), words)
            return painted

        return generate_each(wishes, self.attributes, paint, self._device)


def load_grown(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> Gan:
    """Build the pipeline of a `growing_gan` from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = GrowingGenerator(**config)
    network.load_state_dict(weights, strict=True)
    return Gan(network, device)


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> Gan:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = Generator(**config)
    network.load_state_dict(weights, strict=True)
    return Gan(network, device)
