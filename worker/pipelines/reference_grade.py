"""`reference-grade`: the look of reference pictures, carried over by one predicted colour table per photo.

The network (`worker.networks.grade`) sees a thumbnail; the table is applied at full resolution, so every edge stays
where it was. A style is the mean of the references' codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.networks.colour_table import lattice_colours, table_of_colours
from worker.networks.grade import THUMBNAIL_PX, GradeNetwork
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_table import mean_code, needed, run_by_table, run_by_table_tiled, tables_of
from worker.pipelines.looking import thumbnail


class ReferenceGrade:
    """The pipeline; see `worker.pipelines.base.Pipeline`."""

    def __init__(self, network: GradeNetwork, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._lattice = lattice_colours(device=device)[None]

    @torch.inference_mode()
    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
        """Return the style, float [1, code]."""
        return mean_code(references, weights, self._encode)

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Grade the pictures."""
        code = needed(style)
        return run_by_table(batch, lambda picture: self._table(picture, code, parameters), parameters, ordered=True)

    @torch.inference_mode()
    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Grade one picture piece by piece."""
        code = needed(style)
        return run_by_table_tiled(batch, lambda whole: self._table(whole, code, parameters), parameters, ordered=True)

    @torch.inference_mode()
    def tables(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return the tables."""
        code = needed(style)
        return tables_of(batch, lambda picture: self._table(picture, code, parameters), parameters, ordered=True)

    def _encode(self, picture: Tensor) -> Tensor:
        # One picture at a time: a convolution over a batch may sum in another order, and the bytes would differ.
        return self._network.encode(thumbnail(picture, THUMBNAIL_PX, self._lattice.device))

    def _table(self, picture: Tensor, style: Tensor, parameters: Parameters) -> Tensor:
        """Return both stages as one table [3, 33, 33, 33]."""
        white_stays = torch.full((1, 1), float(parameters["keep_white"]), device=self._lattice.device)
        _, graded = self._network(self._encode(picture), style, white_stays, self._lattice)
        return table_of_colours(graded[0])


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> ReferenceGrade:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = GradeNetwork(**config)
    network.load_state_dict(weights, strict=True)
    return ReferenceGrade(network, device)
