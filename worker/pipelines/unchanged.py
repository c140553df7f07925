"""`unchanged`: leaves every picture as it is. To convert a catalogue's format, and as the baseline of every measure."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_table import check


class Unchanged:
    """The pipeline; see `worker.pipelines.base.Pipeline`."""

    def encode_style(self, references: Sequence[Tensor]) -> None:
        """Return None: there is nothing to know."""

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return a copy."""
        check(batch)
        return batch.images.clone()

    def run_tiled(self, picture: Tensor, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return a copy."""
        return picture.clone()
