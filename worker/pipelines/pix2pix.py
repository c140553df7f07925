"""`pix2pix`: makes pictures from drawings (`worker.networks.pix2pix`), at one size, enlarged to the drawing's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.pix2pix import TranslationNetwork
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_table import check
from worker.pipelines.resizing import Enlarged, smaller, strips

SIDE_PX = 96  # at which it was trained: `worker.training.pix2pix`


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
        result = batch.images.clone(memory_format=torch.contiguous_format)
        for number, (height, width) in enumerate(batch.sizes):
            drawing = smaller(batch.images[number, :, :height, :width], 4 * SIDE_PX, self._device)
            square = F.interpolate(drawing, (SIDE_PX, SIDE_PX), mode="bilinear", antialias=True)
            size = (min(height, SIDE_PX), min(width, SIDE_PX))
            made = F.interpolate(self._network(square), size, mode="bilinear", antialias=True)
            large = Enlarged(made[0] * 255, height, width)
            for top, end in strips(height, width):
                result[number, :, top:end, :width] = large.rows(top, end).round().clamp(0, 255).to(torch.uint8)
        return result

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Do the same with one picture that stays in memory: a small copy of it goes to the device."""
        return self.run(batch, style, parameters)


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> Pix2Pix:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = TranslationNetwork(width=config["width"], depth=config["depth"])
    network.load_state_dict(weights, strict=True)
    return Pix2Pix(network, device)
