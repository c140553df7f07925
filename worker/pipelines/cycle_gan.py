"""`cycle_gan`: turns pictures of one kind into another's, or back (`worker.networks.cycle_gan`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.networks.cycle_gan import WAYS, TurningNetworks
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_painting import run_by_painting
from worker.pipelines.resizing import padded

WORKING_PX = 96  # longest side that is turned: as it was trained


class CycleGan:
    """The pipeline; see `worker.pipelines.base.Pipeline`."""

    def __init__(self, networks: TurningNetworks, device: torch.device) -> None:
        self._networks = networks.to(device).eval()
        self._device = device

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> None:
        """Return None: the networks know their kinds."""

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Turn the pictures."""
        way = WAYS.index(str(parameters["way"]))
        return run_by_painting(
            batch, lambda small: self._turn(small, way), parameters, side=WORKING_PX, device=self._device
        )

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Turn one picture that stays in memory: a small copy of it in one piece, what came of that in strips."""
        return self.run(batch, style, parameters)

    def _turn(self, small: Tensor, way: int) -> Tensor:
        height, width = small.shape[2:]
        whole = padded(small, self._networks.step, self._networks.step)
        return self._networks.turn(whole, way)[:, :, :height, :width]


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> CycleGan:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    networks = TurningNetworks(width=config["width"], depth=config["depth"])
    networks.load_state_dict(weights, strict=True)
    return CycleGan(networks, device)
