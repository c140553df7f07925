"""`python -m benchmarks.stream_worker`: the real worker, but that it says what it does, and `unchanged` takes time.

Everything else is the worker's own. To the witness: `E` when an item has been written; of each batch of `unchanged`
`N` pictures, `P` pixels with their padding, `R` pixels without it.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

from torch import Tensor

import worker.lifecycle
from benchmarks.peers import witness
from benchmarks.stream_device import milliseconds, occupy
from worker.__main__ import main
from worker.checkpoints import FORMULAS
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.unchanged import Unchanged
from worker.stages import Stages
from worker.work import Work

BATCHES: deque[tuple[int, int, int]] = deque()  # of which the witness has not been told: pictures, padded, real pixels


class ToldStages(Stages):
    """Stages that say when an item has taken effect, and what has been noted of batches: the device does not wait for
    that.
    """

    def write(self, work: Work) -> None:
        """Store the result, and say so."""
        super().write(work)
        witness.say("E", work.item.item_no)
        while BATCHES:
            for letter, amount in zip("NPR", BATCHES.popleft(), strict=True):
                witness.say(letter, amount)


class Slow(Unchanged):
    """`unchanged` on the device that is measured with."""

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Take as long as a model would. What a device does not copy is not copied by the processor in its place."""
        real = sum(height * width for height, width in batch.sizes)
        BATCHES.append((len(batch.sizes), batch.images.numel() // 3, real))
        if not milliseconds():
            return super().run(batch, style, parameters)
        occupy(len(batch.sizes))
        return batch.images


def run(stream: type[Any] = worker.lifecycle.Stream) -> int:  # type: ignore[attr-defined]
    """Run a worker, perhaps with another stream, as `python -m worker` does."""
    worker.lifecycle.Stream = stream  # type: ignore[attr-defined]
    worker.lifecycle.Stages = ToldStages  # type: ignore[attr-defined]
    FORMULAS["unchanged"] = lambda _: Slow()
    return main()


if __name__ == "__main__":
    sys.exit(run())
