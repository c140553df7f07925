"""`vae`: makes pictures out of a vector and words; finds the vector of a picture, and what lies between two.

See `worker.networks.vae`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.networks.vae import Vae as Network
from worker.pipelines.base import Parameters, Wish
from worker.pipelines.wishes import chosen_words, generate_each


class Vae:
    """The pipeline; see `worker.pipelines.base.GeneratingPipeline`."""

    def __init__(self, network: Network, device: torch.device) -> None:
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
            return self._network.decode(vector.to(self._device), words)

        return generate_each(wishes, self.attributes, paint, self._device)

    @torch.inference_mode()
    def encode(self, picture: Tensor, attributes: Mapping[str, str]) -> Tensor:
        """Return the vector of a picture, uint8 [3, side, side]: float [latent]."""
        words = self._words(attributes)
        mean, _ = self._network.encode(picture[None].to(self._device) / 255, words)
        return mean[0]

    @torch.inference_mode()
    def decode(self, vector: Tensor, attributes: Mapping[str, str]) -> Tensor:
        """Return the picture of a vector, uint8 [3, side, side]."""
        painted = self._network.decode(vector[None].to(self._device), self._words(attributes))
        return (painted[0].clamp(0, 1) * 255).round().to(torch.uint8)

    def between(self, first: Tensor, second: Tensor, share: float, attributes: Mapping[str, str]) -> Tensor:
        """Return the picture of what lies between two vectors: at share 0 the first one's, at 1 the second's."""
        return self.decode(torch.lerp(first, second, share), attributes)

    def _words(self, attributes: Mapping[str, str]) -> Tensor:
        return chosen_words(attributes, self.attributes, torch.Generator().manual_seed(0)).to(self._device)


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> Vae:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = Network(**config)
    network.load_state_dict(weights, strict=True)
    return Vae(network, device)
