"""`unchanged`: leaves every picture as it is. To convert a catalogue's format, and as the baseline of every measure."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from worker.networks.colour_table import identity_table
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_table import check


class Unchanged:
    """The pipeline; see `worker.pipelines.base.Pipeline`."""

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> None:
        """Return None: there is nothing to know."""

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return a copy."""
        check(batch)
        return batch.images.clone()

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return a copy."""
        return self.run(batch, style, parameters)

    def tables(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return the identity."""
        return identity_table(device=batch.images.device).expand(len(batch.images), -1, -1, -1, -1)
