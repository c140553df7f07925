"""`pix2pix`: makes pictures from drawings (`worker.networks.pix2pix`), at one size, enlarged to the drawing's own.

What a drawing does not tell are parameters: one for each attribute that the model knows, of its words, or `any`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.pix2pix import TranslationNetwork
from worker.networks.words import UNKNOWN
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_table import check
from worker.pipelines.resizing import Enlarged, smaller, strips

SIDE_PX = 96  # at which it was trained: `worker.training.pix2pix`
ANY = "any"  # word of an attribute that nobody asks for


class Pix2Pix:
    """The pipeline; see `worker.pipelines.base.Pipeline`."""

    def __init__(self, network: TranslationNetwork, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> None:
        """Return None: it needs no style."""

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Make pictures from the drawings, each by itself; the padding is as it came.

        Raises:
            ValueError: the batch is not what its contract says.

        """
        check(batch)
        words = self._words(parameters)
        result = batch.images.clone(memory_format=torch.contiguous_format)
        for number, (height, width) in enumerate(batch.sizes):
            drawing = smaller(batch.images[number, :, :height, :width], 4 * SIDE_PX, self._device)
            square = F.interpolate(drawing, (SIDE_PX, SIDE_PX), mode="bilinear", antialias=True)
            size = (min(height, SIDE_PX), min(width, SIDE_PX))
            made = F.interpolate(self._network(square, words), size, mode="bilinear", antialias=True)
            large = Enlarged(made[0] * 255, height, width)
            for top, end in strips(height, width):
                result[number, :, top:end, :width] = large.rows(top, end).round().clamp(0, 255).to(torch.uint8)
        return result

    def _words(self, parameters: Parameters) -> Tensor:
        """Return the places of the words that are asked for: int64 [1, A]."""
        asked = {name: parameters.get(name, ANY) for name in self._network.words.attributes}
        places = [
            UNKNOWN if asked[name] == ANY else words.index(str(asked[name]))
            for name, words in self._network.words.attributes.items()
        ]
        return torch.tensor([places], dtype=torch.int64, device=self._device).view(1, len(places))

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Do the same with one picture that stays in memory: a small copy of it goes to the device."""
        return self.run(batch, style, parameters)


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> Pix2Pix:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = TranslationNetwork(width=config["width"], depth=config["depth"], attributes=config.get("attributes"))
    network.load_state_dict(weights, strict=True)
    return Pix2Pix(network, device)
