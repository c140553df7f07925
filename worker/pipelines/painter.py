"""`painter`: paints in the manner of one of the paintings that the network has learned (`worker.networks.painter`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.networks.painter import PainterNetwork
from worker.networks.painting import LEAST_PX, STEP
from worker.networks.strokes import noise
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_painting import run_by_painting
from worker.pipelines.resizing import padded

WORKING_PX = 640  # longest side that is painted; chosen: strokes are then seen in a whole picture, and cost little
_NOISE_SEED = 0  # one noise for all pictures: equal pictures are painted equally


class Painter:
    """The pipeline; see `worker.pipelines.base.Pipeline`."""

    def __init__(self, network: PainterNetwork, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device
        side = -(-WORKING_PX // STEP) * STEP
        self._noise = noise(1, side, side, torch.Generator().manual_seed(_NOISE_SEED)).to(device)

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> None:
        """Return None: the network knows its paintings."""

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Paint the pictures."""
        shares = torch.zeros(1, len(self._network.paintings), device=self._device)
        shares[0, self._network.paintings.index(str(parameters["painting"]))] = 1
        return run_by_painting(
            batch, lambda small: self._paint(small, shares), parameters, side=WORKING_PX, device=self._device
        )

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Paint one picture that stays in memory: a small copy of it in one piece, what came of that in strips."""
        return self.run(batch, style, parameters)

    def _paint(self, small: Tensor, shares: Tensor) -> Tensor:
        height, width = small.shape[2:]
        whole = padded(small, STEP, LEAST_PX)
        noises = self._noise[:, :, : whole.shape[2] // 2, : whole.shape[3] // 2].contiguous()
        painted: Tensor = self._network(whole, noises, shares)
        return painted[:, :, :height, :width]


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> Painter:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = PainterNetwork(**config)
    network.load_state_dict(weights, strict=True)
    return Painter(network, device)
