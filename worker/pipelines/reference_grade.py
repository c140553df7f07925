"""`reference-grade`: the look of reference pictures, carried over by one predicted colour table per photo.

The network (`worker.networks.grade`) sees a thumbnail; the table is applied at full resolution, so every edge stays
where it was. A style is the mean of the references' codes, and of their light over the frame, of which `local_light`
says how much is carried over (`worker.networks.local_light`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.networks.colour_table import lattice_colours, table_of_colours
from worker.networks.grade import THUMBNAIL_PX, GradeNetwork
from worker.networks.local_light import TERMS, LocalLight, light_to_give, read_light
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_table import mean_code, needed, run_by_table, run_by_table_tiled, tables_of
from worker.pipelines.looking import thumbnail


class ReferenceGrade:
    """The pipeline; see `worker.pipelines.base.Pipeline`."""

    def __init__(self, network: GradeNetwork, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._encode_thumbnail: Callable[[Tensor], Tensor] = self._network.encode
        self._lattice = lattice_colours(device=device)[None]

    def compile(self) -> None:
        """Have the network compiled: it sees thumbnails of one size alone."""
        self._encode_thumbnail = torch.compile(self._network.encode, dynamic=False)
        self._network.compile(dynamic=False)

    @torch.inference_mode()
    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
        """Return the style, float [1, code + 3]: the network's code, and the light over the frame."""
        return mean_code(references, weights, self._encode_reference)

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Grade the pictures."""
        code, light = _parted(style, parameters)
        return run_by_table(
            batch, lambda picture: self._table(picture, code, parameters), parameters, ordered=True, light=light
        )

    @torch.inference_mode()
    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Grade one picture piece by piece."""
        code, light = _parted(style, parameters)
        return run_by_table_tiled(
            batch, lambda whole: self._table(whole, code, parameters), parameters, ordered=True, light=light
        )

    @torch.inference_mode()
    def tables(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return the tables.

        Raises:
            ValueError: local light is asked for, which is no table.

        """
        if parameters.get("local_light"):
            raise ValueError("with local_light a picture is not changed by one table: it must be 0")
        code, _ = _parted(style, parameters)
        return tables_of(batch, lambda picture: self._table(picture, code, parameters), parameters, ordered=True)

    def _encode_reference(self, picture: Tensor) -> Tensor:
        seen = thumbnail(picture, THUMBNAIL_PX, self._lattice.device)
        return torch.cat((self._encode_thumbnail(seen), read_light(seen)), dim=1)

    def _encode(self, picture: Tensor) -> Tensor:
        # One picture at a time: a convolution over a batch may sum in another order, and the bytes would differ.
        return self._encode_thumbnail(thumbnail(picture, THUMBNAIL_PX, self._lattice.device))

    def _table(self, picture: Tensor, style: Tensor, parameters: Parameters) -> Tensor:
        """Return both stages as one table [3, 33, 33, 33]."""
        white_stays = torch.full((1, 1), float(parameters["keep_white"]), device=self._lattice.device)
        _, graded = self._network(self._encode(picture), style, white_stays, self._lattice)
        return table_of_colours(graded[0])


def _parted(style: Tensor | None, parameters: Parameters) -> tuple[Tensor, LocalLight | None]:
    """Return the network's part of a style, and as much of its light as is asked for."""
    whole = needed(style)
    # Recipes are older than this parameter: where it is not named there is none.
    light = light_to_give(whole[:, -TERMS:], float(parameters.get("local_light", 0.0)))
    return whole[:, :-TERMS].contiguous(), light


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device) -> ReferenceGrade:
    """Build the pipeline from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.

    """
    network = GradeNetwork(**config)
    network.load_state_dict(weights, strict=True)
    return ReferenceGrade(network, device)
