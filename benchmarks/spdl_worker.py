"""`python -m benchmarks.spdl_worker`: the worker of `stream_worker`, with SPDL as the stream's engine.

Stages, batches, transfers and settler are the worker's own; what moves works between them is SPDL's: an event loop and
one pool of threads. What `worker.stream` does beside that (the watchdog, leases that end under way, a device that runs
out of memory) is left out. On CUDA it would need the device's events too.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence

import torch
from spdl.pipeline import PipelineBuilder

from benchmarks.stream_worker import run
from jobs.claims import ClaimedItem
from jobs.cores import cores
from worker import cascade
from worker.batching import Batcher, BatchSizes, bucket_of
from worker.held import HeldLease
from worker.model_cache import ModelCache
from worker.prepared import Prepared
from worker.settings import WorkerSettings
from worker.settler import Settler
from worker.stages import Stages
from worker.stream import BATCH_PIXELS, HUNGRY_SECONDS, LONGEST_SECONDS
from worker.transfers import Loaded, Restyled, Transfers
from worker.watch import Watch
from worker.work import Work

AHEAD = 2  # batches before the device: more are not sent before they are full
FEED_SECONDS = 0.05  # longest wait for a work before batches are asked whether they are due
Ready = tuple[Work | None]
TICK = None  # SPDL's aggregation has no clock: the source says when one should be looked at


class SpdlStream:
    """Takes the place of `worker.stream.Stream`."""

    on_device = False
    slow_jobs: frozenset[uuid.UUID] = frozenset()

    def __init__(
        self, stages: Stages, settler: Settler, settings: WorkerSettings, models: ModelCache, _watch: Watch
    ) -> None:
        self._settler = settler
        self._transfers = Transfers(models.device)
        self._inbox: queue.Queue[Work] = queue.Queue(maxsize=2 * settings.read_threads)
        self._batcher: Batcher[Work] = Batcher(
            sizes=BatchSizes(settings.batch_size),
            pixels=BATCH_PIXELS,
            hungry_seconds=HUNGRY_SECONDS,
            longest_seconds=LONGEST_SECONDS,
        )
        self._ahead = 0  # batches that the device has not begun; roughly, as two threads count
        codecs = settings.codec_threads or cores()
        self._pipeline = (
            PipelineBuilder()
            .add_source(self._source())
            .pipe(_unless_tick(stages.read), concurrency=settings.read_threads)
            .pipe(_unless_tick(stages.decode), concurrency=codecs)
            .pipe(self._batch)
            .disaggregate()
            .pipe(self._transfers.load)
            .pipe(self._run)
            .pipe(self._unload)
            .disaggregate()
            .pipe(_unless_tick(stages.measure, stages.encode), concurrency=codecs)
            .pipe(_unless_tick(stages.write), concurrency=settings.write_threads)
            .pipe(self._settle)
            .add_sink(1)
            .build(num_threads=settings.read_threads + 2 * codecs + settings.write_threads + 5)
        )
        threading.Thread(target=self._drive, daemon=True).start()

    def feed(self, held: HeldLease, prepared: Prepared, items: Sequence[ClaimedItem]) -> None:
        """Send items of a shard on their way."""
        for item in items:
            self._inbox.put(Work(held=held, item=item, prepared=prepared))

    def _drive(self) -> None:
        with self._pipeline.auto_stop():
            for _ in self._pipeline:
                pass

    async def _source(self) -> AsyncIterator[Ready]:
        while True:
            try:
                yield (await asyncio.to_thread(self._inbox.get, timeout=FEED_SECONDS),)
            except queue.Empty:
                yield (TICK,)

    async def _batch(self, ready: Ready) -> list[list[Work]]:
        [work] = ready
        now, batches = time.monotonic(), []
        if work is not None:
            assert work.size is not None
            full = self._batcher.add(work.prepared.look, bucket_of(*work.size), work, now)
            batches += [full] if full else []
        while (due := self._batcher.due(now, hungry=self._ahead + len(batches) < AHEAD)) is not None:
            batches.append(due)
        self._ahead += len(batches)
        return batches

    def _run(self, loaded: Loaded) -> Restyled:
        self._ahead -= 1
        prepared = loaded.works[0].prepared
        for work in loaded.works:
            work.held.begin(work.item.item_no)
        with torch.inference_mode():
            images = cascade.run(prepared.steps, self._transfers.bring(loaded))
        return Restyled(loaded=loaded, images=images)

    def _unload(self, restyled: Restyled) -> list[Ready]:
        self._transfers.unload(restyled)
        return [(work,) for work in restyled.loaded.works]

    def _settle(self, ready: Ready) -> None:
        [work] = ready
        assert work is not None
        self._settler.inbox.put(work)


def _unless_tick(*acts: Callable[[Work], None]) -> Callable[[Ready], Ready]:
    """Do stages to a work. SPDL leaves out what is None, so works and ticks travel in tuples."""

    def run_stage(ready: Ready) -> Ready:
        [work] = ready
        if work is not None:
            for act in acts:
                act(work)
        return ready

    return run_stage


if __name__ == "__main__":
    sys.exit(run(SpdlStream))
