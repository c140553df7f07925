"""`style_gan`: makes pictures of styles, which can be kept, mixed and truncated (`worker.networks.style_gan`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.networks.style_gan import StyleGenerator
from worker.pipelines.base import Parameters, Wish
from worker.pipelines.wishes import chosen_words, generate_each


class StyleGan:
    """The pipeline; see `worker.pipelines.base.GeneratingPipeline`."""

    def __init__(self, network: StyleGenerator, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device
        self.side_px = network.side_px
        self.attributes: Mapping[str, Sequence[str]] = network.words.attributes

    @torch.inference_mode()
    def generate(self, wishes: Sequence[Wish], parameters: Parameters) -> Tensor:
        """Make pictures. Parameter: `truncation`, how far a style may be from the usual one."""
        share = float(parameters["truncation"])

        def paint(words: Tensor, generator: torch.Generator) -> Tensor:
            style = self._network.truncated(self._style(words, generator), share)
            return self._paint(style, style, 0, generator)

        return generate_each(wishes, self.attributes, paint, self._device)

    @torch.inference_mode()
    def style(self, wish: Wish) -> Tensor:
        """Return the style of a wish, float [style]: the one that `generate` gives it, before it is truncated.

        Raises:
            ValueError: an attribute or a word that the model does not know.

        """
        generator = torch.Generator().manual_seed(wish.seed)
        words = chosen_words(wish.attributes, self.attributes, generator).to(self._device)
        return self._style(words, generator)[0]

    @torch.inference_mode()
    def mixed(self, coarse: Tensor, fine: Tensor, *, from_px: int, seed: int) -> Tensor:
        """Return the picture, uint8 [3, side, side], of one style for what is large and another for what is small.

        from_px: the size from which on the fine style counts. seed: of the finest differences.
        """
        first = sum((4 << number) < from_px for number in range(len(self._network.levels)))
        generator = torch.Generator().manual_seed(seed)
        painted = self._paint(coarse[None], fine[None], first, generator)
        return (painted[0].clamp(0, 1) * 255).round().to(torch.uint8)

    def _style(self, words: Tensor, generator: torch.Generator) -> Tensor:
        return self._network.style(torch.randn(1, self._network.latent, generator=generator).to(self._device), words)

    def _paint(self, coarse: Tensor, fine: Tensor, first: int, generator: torch.Generator) -> Tensor:
        """Paint with one style below the level `first`, with the other from there on."""
        noises = [noise.to(self._device) for noise in self._network.noises(1, generator)]
        styles = [coarse if number < first else fine for number in range(len(noises))]
        return self._network.paint(styles, noises)


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> StyleGan:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = StyleGenerator(**config)
    network.load_state_dict(weights, strict=True)
    return StyleGan(network, device)
