"""`python -m benchmarks.stream_worker`: the real worker, but that it says what it does, and `unchanged` takes time.

Everything else is the worker's own. To the witness: `E` when an item has been written; of each batch of `unchanged`
`N` pictures, `P` pixels with their padding, `R` pixels without it.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor

import worker.lifecycle
from benchmarks.peers import witness
from benchmarks.stream_device import occupy
from worker.__main__ import main
from worker.checkpoints import FORMULAS
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.unchanged import Unchanged
from worker.stages import Stages
from worker.work import Work


class ToldStages(Stages):
    """Stages that say when an item has taken effect."""

    def write(self, work: Work) -> None:
        """Store the result, and say so."""
        super().write(work)
        witness.say("E", work.item.item_no)


class Slow(Unchanged):
    """`unchanged` on the device that is measured with."""

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return a copy, after as long as a model would take."""
        images = super().run(batch, style, parameters)
        occupy(len(batch.sizes))
        witness.say("N", len(batch.sizes))
        witness.say("P", images.numel() // 3)
        witness.say("R", sum(height * width for height, width in batch.sizes))
        return images


def run(stream: type[Any] = worker.lifecycle.Stream) -> int:  # type: ignore[attr-defined]
    """Run a worker, perhaps with another stream, as `python -m worker` does."""
    worker.lifecycle.Stream = stream  # type: ignore[attr-defined]
    worker.lifecycle.Stages = ToldStages  # type: ignore[attr-defined]
    FORMULAS["unchanged"] = lambda _: Slow()
    return main()


if __name__ == "__main__":
    sys.exit(run())
