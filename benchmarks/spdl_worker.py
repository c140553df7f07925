"""`python -m benchmarks.spdl_worker`: the worker of `stream_worker`, with SPDL as the stream's engine.

Stages, batches, model stage and settler are the worker's own; what moves works between them is SPDL's: an event loop
and one pool of threads. What `worker.stream` does beside that (the watchdog, leases that end under way) is left out.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable

import torch
from spdl.pipeline import PipelineBuilder

from benchmarks.stream_worker import run
from worker.batching import Batcher, BatchSizes, bucket_of
from worker.held import HeldLease
from worker.model_cache import Prepared
from worker.model_stage import run_batch
from worker.settings import WorkerSettings
from worker.settler import Settler
from worker.stages import Stages
from worker.stream import BATCH_PIXELS, BATCH_WAIT_SECONDS
from worker.watch import Watch
from worker.work import Work

FEED_SECONDS = 0.05  # longest wait for a work before batches are asked whether they are due
TICK = None  # SPDL's aggregation has no clock: the source says when one should be looked at


class SpdlStream:
    """Takes the place of `worker.stream.Stream`."""

    on_device = False

    def __init__(
        self, stages: Stages, settler: Settler, settings: WorkerSettings, device: torch.device, watch: Watch
    ) -> None:
        self._settler, self._settings, self._device, self._watch = settler, settings, device, watch
        self._inbox: queue.Queue[Work] = queue.Queue(maxsize=2 * settings.read_threads)
        self._sizes = BatchSizes(settings.batch_size)
        self._batcher: Batcher[Work] = Batcher(sizes=self._sizes, pixels=BATCH_PIXELS, wait_seconds=BATCH_WAIT_SECONDS)
        codecs = settings.codec_threads
        self._pipeline = (
            PipelineBuilder()
            .add_source(self._source())
            .pipe(_unless_tick(stages.read), concurrency=settings.read_threads)
            .pipe(_unless_tick(stages.decode), concurrency=codecs)
            .pipe(self._batch)
            .disaggregate()
            .pipe(self._model)
            .disaggregate()
            .pipe(_unless_tick(stages.encode), concurrency=codecs)
            .pipe(_unless_tick(stages.write), concurrency=settings.write_threads)
            .pipe(self._settle)
            .add_sink(1)
            .build(num_threads=settings.read_threads + 2 * codecs + settings.write_threads + 3)
        )
        threading.Thread(target=self._drive, daemon=True).start()

    def feed(self, held: HeldLease, prepared: Prepared) -> None:
        """Send a shard's items on their way."""
        for item in held.claim.items:
            self._inbox.put(Work(held=held, item=item, prepared=prepared))

    def _drive(self) -> None:
        with self._pipeline.auto_stop():
            for _ in self._pipeline:
                pass

    async def _source(self) -> AsyncIterator[tuple[Work | None]]:
        while True:
            try:
                yield (await asyncio.to_thread(self._inbox.get, timeout=FEED_SECONDS),)
            except queue.Empty:
                yield (TICK,)

    async def _batch(self, ready: tuple[Work | None]) -> list[list[Work]]:
        [work] = ready
        now = time.monotonic()
        full = None
        if work is not None:
            assert work.size is not None
            full = self._batcher.add(work.prepared.fingerprint, bucket_of(*work.size), work, now)
        return [*([full] if full else []), *self._batcher.due(now)]

    def _model(self, works: list[Work]) -> list[tuple[Work]]:
        for work in works:
            work.held.begin(work.item.item_no)
        run_batch(works, self._device, self._watch, self._sizes, limit_seconds=self._settings.item_seconds)
        return [(work,) for work in works]

    def _settle(self, done: tuple[Work]) -> None:
        self._settler.inbox.put(done[0])


def _unless_tick(act: Callable[[Work], None]) -> Callable[[tuple[Work | None]], tuple[Work | None]]:
    """Do a stage to a work. SPDL leaves out what is None, so works and ticks travel in tuples."""

    def run_stage(ready: tuple[Work | None]) -> tuple[Work | None]:
        [work] = ready
        if work is not None:
            act(work)
        return ready

    return run_stage


if __name__ == "__main__":
    sys.exit(run(SpdlStream))
