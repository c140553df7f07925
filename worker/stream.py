"""The stages and the bounded queues between them: read → decode → batch → model → encode → write → settle.

Each stage has threads of its own, so that the device computes while files are fetched, decoded, encoded and
stored. A work whose item failed, or that is not wanted any more, walks through the rest untouched: whatever
enters the stream leaves it at the settler, once. The settler does not wait for those that it gave back meanwhile.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

import structlog
import torch

from jobs.claims import ClaimedItem
from jobs.errors import JobsError, OutOfMemory, StorageError
from worker.batching import Batcher, BatchSizes, bucket_of
from worker.held import HeldLease
from worker.model_cache import Prepared
from worker.model_stage import run_batch
from worker.settings import WorkerSettings
from worker.settler import Settler
from worker.stages import Stages
from worker.vital import Vital
from worker.watch import STORAGE_SECONDS, Watch
from worker.work import Work

log = structlog.get_logger(__name__)

BATCH_WAIT_SECONDS = 0.1  # chosen: far below a second of settling, far above the time to decode a picture
BATCH_PIXELS = 16_000_000  # padded pixels in one forward pass
BATCHES_WAITING = 2  # one on the device, one ready: more would only hold memory

WorkQueue = queue.Queue[Work]


class Stream:
    """The way of every item through this process. Works of several shards are under way at once."""

    def __init__(
        self, stages: Stages, settler: Settler, settings: WorkerSettings, device: torch.device, watch: Watch
    ) -> None:
        self._settler = settler
        self._device = device
        self._watch = watch
        self._limit_seconds = settings.item_seconds
        self._busy = threading.Event()
        self._to_read: WorkQueue = queue.Queue(maxsize=2 * settings.read_threads)
        self._to_decode: WorkQueue = queue.Queue(maxsize=settings.read_threads)
        self._to_batch: WorkQueue = queue.Queue(maxsize=2 * settings.batch_size)
        self._to_model: queue.Queue[list[Work]] = queue.Queue(maxsize=BATCHES_WAITING)
        self._to_encode: WorkQueue = queue.Queue(maxsize=2 * settings.batch_size)
        self._to_write: WorkQueue = queue.Queue(maxsize=2 * settings.write_threads)
        self._sizes = BatchSizes(settings.batch_size)
        self._batcher: Batcher[Work] = Batcher(sizes=self._sizes, pixels=BATCH_PIXELS, wait_seconds=BATCH_WAIT_SECONDS)
        codecs = settings.codec_threads
        self._start("read", settings.read_threads, self._to_read, self._to_decode, stages.read, _may_start)
        self._start("decode", codecs, self._to_decode, self._to_batch, stages.decode, _may_start)
        Vital("batch", self._batch).start()
        Vital("model", self._model).start()
        self._start("encode", codecs, self._to_encode, self._to_write, stages.encode, _may_go_on)
        self._start("write", settings.write_threads, self._to_write, settler.inbox, stages.write, _may_go_on)

    def feed(self, held: HeldLease, prepared: Prepared, items: Sequence[ClaimedItem]) -> None:
        """Send items of a shard on their way. Blocks while the stream is full, but only as long as they are wanted."""
        for item in items:
            work = Work(held=held, item=item, prepared=prepared)
            while held.wanted:
                try:
                    self._to_read.put(work, timeout=0.5)
                    break
                except queue.Full:
                    continue

    @property
    def on_device(self) -> bool:
        """Whether a batch is on the device now."""
        return self._busy.is_set()

    def _start(
        self,
        name: str,
        threads: int,
        inbox: WorkQueue,
        outbox: WorkQueue,
        act: Callable[[Work], None],
        may_run: Callable[[Work], bool],
    ) -> None:
        limit_seconds = STORAGE_SECONDS if name in ("read", "write") else self._limit_seconds

        def run() -> None:
            while True:
                work = inbox.get()
                if work.open:
                    if may_run(work):
                        with self._watch.over(name, work.held, [(work.held, work.item.item_no)], limit_seconds):
                            _act(name, act, work)
                    else:
                        work.drop()
                outbox.put(work)

        for number in range(threads):
            Vital(f"{name}-{number}", run).start()

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
        if work.held.claim.suspect:  # alone on the device too: if it is the poison, nobody needs to guess
            self._to_model.put([work])
            return
        full = self._batcher.add(work.prepared.fingerprint, bucket_of(*work.size), work, time.monotonic())
        if full is not None:
            self._to_model.put(full)

    def _model(self) -> None:
        while True:
            batch = self._to_model.get()
            self._busy.set()
            for work in batch:
                if not work.held.begin(work.item.item_no):
                    work.drop()
            wanted = [work for work in batch if work.open]
            if wanted:
                run_batch(wanted, self._device, self._watch, self._sizes, limit_seconds=self._limit_seconds)
            self._busy.clear()
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
    except StorageError as error:
        if error.retryable and work.held.postpone():
            work.postpone(error)
        else:
            work.fail(error)
    except JobsError as error:
        work.fail(error)
    except MemoryError:
        work.fail(OutOfMemory())
    except Exception as error:
        log.exception("stage_failed", stage=name, item_no=work.item.item_no)
        work.fail(JobsError(f"{name} failed: {error!r}"))
    work.milliseconds[name] = round((time.perf_counter() - started) * 1000, 1)
