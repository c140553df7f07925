"""`any_painting`: paints in the manner of any references (`worker.networks.any_painting`).

A style is the mean of the references' codes: the statistics of their features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.networks.any_painting import AnyPaintingNetwork
from worker.networks.painting import LEAST_PX, STEP
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_painting import run_by_painting
from worker.pipelines.by_table import mean_code, needed
from worker.pipelines.resizing import padded, smaller

WORKING_PX = 1024  # longest side that is painted
STYLE_PX = 512  # longest side of references that are looked at; chosen: about as large as those it is trained on


class AnyPainting:
    """The pipeline; see `worker.pipelines.base.Pipeline`."""

    def __init__(self, network: AnyPaintingNetwork, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
        """Return the style, float [1, code]."""
        return mean_code(references, weights, self._encode)

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Paint the pictures."""
        code = needed(style)
        return run_by_painting(
            batch, lambda small: self._paint(small, code), parameters, side=WORKING_PX, device=self._device
        )

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Paint one picture that stays in memory: a small copy of it in one piece, what came of that in strips."""
        return self.run(batch, style, parameters)

    def _encode(self, picture: Tensor) -> Tensor:
        return self._network.encode(padded(smaller(picture, STYLE_PX, self._device), STEP, LEAST_PX))

    def _paint(self, small: Tensor, code: Tensor) -> Tensor:
        height, width = small.shape[2:]
        painted: Tensor = self._network(padded(small, STEP, LEAST_PX), code)
        return painted[:, :, :height, :width]


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> AnyPainting:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = AnyPaintingNetwork(**config)
    network.load_state_dict(weights, strict=True)
    return AnyPainting(network, device)
