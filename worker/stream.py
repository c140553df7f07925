"""The stages and the bounded queues between them: read → decode → batch → model → encode → write → settle.

Each stage has threads of its own, so that the device computes while files are fetched, decoded, encoded and
stored. A work whose item failed, or that is not wanted any more, walks through the rest untouched: whatever
enters the stream leaves it at the settler, once.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import structlog
import torch

from jobs.errors import JobsError, OutOfMemory
from worker.batching import Batcher, bucket_of
from worker.held import HeldLease
from worker.model_cache import Prepared
from worker.model_stage import run_batch
from worker.settings import WorkerSettings
from worker.settler import Settler
from worker.stages import Stages
from worker.work import Work

log = structlog.get_logger(__name__)

BATCH_WAIT_SECONDS = 0.1  # chosen: far below a second of settling, far above the time to decode a picture
BATCH_PIXELS = 16_000_000  # padded pixels in one forward pass
BATCHES_WAITING = 2  # one on the device, one ready: more would only hold memory

WorkQueue = queue.Queue[Work]


class Stream:
    """The way of every item through this process. Works of several shards are under way at once."""

    def __init__(self, stages: Stages, settler: Settler, settings: WorkerSettings, device: torch.device) -> None:
        self._settler = settler
        self._device = device
        self._to_read: WorkQueue = queue.Queue(maxsize=2 * settings.read_threads)
        self._to_decode: WorkQueue = queue.Queue(maxsize=settings.read_threads)
        self._to_batch: WorkQueue = queue.Queue(maxsize=2 * settings.batch_size)
        self._to_model: queue.Queue[list[Work]] = queue.Queue(maxsize=BATCHES_WAITING)
        self._to_encode: WorkQueue = queue.Queue(maxsize=2 * settings.batch_size)
        self._to_write: WorkQueue = queue.Queue(maxsize=2 * settings.write_threads)
        self._batcher: Batcher[Work] = Batcher(
            size=settings.batch_size, pixels=BATCH_PIXELS, wait_seconds=BATCH_WAIT_SECONDS
        )
        codecs = settings.codec_threads
        self._start("read", settings.read_threads, self._to_read, self._to_decode, stages.read, _may_start)
        self._start("decode", codecs, self._to_decode, self._to_batch, stages.decode, _may_start)
        threading.Thread(target=self._batch, name="batch", daemon=True).start()
        threading.Thread(target=self._model, name="model", daemon=True).start()
        self._start("encode", codecs, self._to_encode, self._to_write, stages.encode, _may_go_on)
        self._start("write", settings.write_threads, self._to_write, settler.inbox, stages.write, _may_go_on)

    def feed(self, held: HeldLease, prepared: Prepared) -> None:
        """Send a shard's items on their way. Blocks while the stream is full."""
        self._settler.open(held, len(held.claim.items))
        for item in held.claim.items:
            self._put(Work(held=held, item=item, prepared=prepared))

    def _put(self, work: Work) -> None:
        while work.held.wanted:
            try:
                return self._to_read.put(work, timeout=0.5)
            except queue.Full:
                continue
        work.drop()
        return self._settler.inbox.put(work)

    def _start(
        self,
        name: str,
        threads: int,
        inbox: WorkQueue,
        outbox: WorkQueue,
        act: Callable[[Work], None],
        may_run: Callable[[Work], bool],
    ) -> None:
        def run() -> None:
            while True:
                work = inbox.get()
                if work.open:
                    if may_run(work):
                        _act(name, act, work)
                    else:
                        work.drop()
                outbox.put(work)

        for number in range(threads):
            threading.Thread(target=run, name=f"{name}-{number}", daemon=True).start()

    def _batch(self) -> None:
        while True:
            due = self._batcher.next_due()
            timeout = None if due is None else max(0.0, due - time.monotonic())
            try:
                self._collect(self._to_batch.get(timeout=timeout))
            except queue.Empty:
                pass
            for batch in self._batcher.due(time.monotonic()):
                self._to_model.put(batch)

    def _collect(self, work: Work) -> None:
        if work.open and not _may_start(work):
            work.drop()
        if not work.open:
            self._to_encode.put(work)
            return
        assert work.size is not None
        full = self._batcher.add(work.prepared.fingerprint, bucket_of(*work.size), work, time.monotonic())
        if full is not None:
            self._to_model.put(full)

    def _model(self) -> None:
        while True:
            batch = self._to_model.get()
            for work in batch:
                if not _may_start(work):
                    work.drop()
            wanted = [work for work in batch if work.open]
            if wanted:
                run_batch(wanted, self._device)
            for work in batch:
                self._to_encode.put(work)


def _may_start(work: Work) -> bool:
    return work.held.wanted


def _may_go_on(work: Work) -> bool:
    return work.held.alive


def _act(name: str, act: Callable[[Work], None], work: Work) -> None:
    """Run a stage on a work: whatever goes wrong is that item's reason, and nobody else's."""
    started = time.perf_counter()
    try:
        act(work)
    except JobsError as error:
        work.fail(error)
    except MemoryError:
        work.fail(OutOfMemory())
    except Exception as error:
        log.exception("stage_failed", stage=name, item_no=work.item.item_no)
        work.fail(JobsError(f"{name} failed: {error!r}"))
    work.milliseconds[name] = round((time.perf_counter() - started) * 1000, 1)
