"""The stages and the bounded queues between them: read → decode → batch → model → encode → write → settle.

Each stage has threads of its own, so that the device computes while files are fetched, decoded, encoded and
stored. A work whose item failed, or that is not wanted any more, walks through the rest untouched: whatever
enters the stream leaves it at the settler, once. The settler does not wait for those that it gave back meanwhile.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

import structlog

from jobs.claims import ClaimedItem
from jobs.cores import cores
from jobs.errors import JobsError, OutOfMemory, StorageError
from jobs.source_urls import pictures_of
from worker.batching import Batcher, BatchSizes, bucket_of
from worker.held import HeldLease
from worker.lanes import Lanes
from worker.model_cache import ModelCache
from worker.model_stage import ModelStage
from worker.prepared import Prepared
from worker.settings import WorkerSettings
from worker.settler import Settler
from worker.stages import Stages
from worker.vital import Vital
from worker.watch import STORAGE_SECONDS, Watch
from worker.work import Work

log = structlog.get_logger(__name__)

HUNGRY_SECONDS = 0.05  # that a picture waits for company while the device will soon have nothing to do
LONGEST_SECONDS = 2.0  # that it waits while the device is busy with fuller batches
LOOK_SECONDS = 0.02  # until it is noticed that the device has become hungry
FULL_SECONDS = 0.1  # between two looks at whether a bucket gets on
PATIENCE_SECONDS = 2.0  # in all while a shard is fed; chosen: on a busy machine a healthy bucket stands still for less
BATCH_PIXELS = 16_000_000  # padded pixels in one forward pass

WorkQueue = queue.Queue[Work]


class Stream:
    """The way of every item through this process. Works of several shards are under way at once."""

    def __init__(
        self, stages: Stages, settler: Settler, settings: WorkerSettings, models: ModelCache, watch: Watch
    ) -> None:
        self._settler = settler
        self._watch = watch
        self._slow: list[uuid.UUID] = []  # one entry for each shard that is fed aside
        self._limit_seconds = settings.item_seconds
        lock = threading.Lock()
        # Twice as many threads as one bucket may keep busy: see Lanes.
        self._to_write: Lanes[Work] = Lanes(
            2 * settings.write_threads,
            _output_bucket,
            lock=lock,
            in_vain=lambda work: not _has_more(work),
            taken=lambda: self._to_read.look(),
        )
        self._to_read: Lanes[Work] = Lanes(
            2 * settings.read_threads,
            _buckets,
            lock=lock,
            waiting=2 * settings.read_threads,
            # What is under way in the stream is bounded, so what waits for a bucket that takes nothing is, too.
            may_go=lambda work: not self._to_write.crowded(work, 2 * settings.write_threads),
            in_vain=lambda work: not _may_start(work),
        )
        self._to_decode: WorkQueue = queue.Queue(maxsize=settings.read_threads)
        self._to_batch: WorkQueue = queue.Queue(maxsize=2 * settings.batch_size)
        self._to_encode: WorkQueue = queue.Queue(maxsize=2 * settings.batch_size)
        sizes = BatchSizes(settings.batch_size)
        self._batcher: Batcher[Work] = Batcher(
            sizes=sizes, pixels=BATCH_PIXELS, hungry_seconds=HUNGRY_SECONDS, longest_seconds=LONGEST_SECONDS
        )
        self._model = ModelStage(
            models.device,
            watch,
            sizes,
            limit_seconds=settings.item_seconds,
            threads=1 if models.device.type == "cuda" else settings.model_threads or cores(),
            loading=models.loading,
            evict=models.evict,
            send_on=self._to_encode.put,
        )
        codecs = settings.codec_threads or cores()  # all of them let others run, and wait for work most of the time
        self._start(
            "read", 2 * settings.read_threads, self._to_read, self._to_decode, {"read": stages.read}, _may_start
        )
        self._start("decode", codecs, self._to_decode, self._to_batch, {"decode": stages.decode}, _may_start)
        Vital("batch", self._batch).start()
        self._model.start()
        # Both keep a core busy, so measuring has no threads of its own.
        leaving = {"measure": stages.measure, "encode": stages.encode}
        self._start("encode", codecs, self._to_encode, self._to_write, leaving, _may_go_on)
        writing = {"write": stages.write}
        self._start("write", 2 * settings.write_threads, self._to_write, settler.inbox, writing, _may_go_on)

    def feed(self, held: HeldLease, prepared: Prepared, items: Sequence[ClaimedItem]) -> None:
        """Send items of a shard on their way. Blocks while the stream is full, but only as long as they are wanted.

        Where it is not the stream that is full, and only their bucket that does not get on, they are sent on by a
        thread of their own: others would wait behind them. Nothing of that job need be claimed before it has ended.
        """
        patience = PATIENCE_SECONDS
        for number, item in enumerate(items):
            work = Work(held=held, item=item, prepared=prepared.of(item))
            while held.wanted:
                try:
                    self._to_read.put(work, timeout=FULL_SECONDS)
                    break
                except queue.Full:
                    patience -= FULL_SECONDS if self._held_up(work) else 0.0
                if patience <= 0:
                    self._feed_aside(held, prepared, items[number:])
                    return

    @property
    def slow_jobs(self) -> frozenset[uuid.UUID]:
        """The jobs whose buckets do not get on here: who claims more of them lets other jobs wait."""
        return frozenset(self._slow)

    def _held_up(self, work: Work) -> bool:
        """Whether threads are free and have nothing to read but what one bucket does not give or take."""
        return self._to_decode.empty() and self._to_read.held_up(work)

    def _feed_aside(self, held: HeldLease, prepared: Prepared, items: Sequence[ClaimedItem]) -> None:
        job_id = held.lease.job_id
        log.warning("bucket_held_up", job_id=str(job_id), shard_no=held.lease.shard_no, items=len(items))

        def feed() -> None:
            for item in items:
                work = Work(held=held, item=item, prepared=prepared.of(item))
                while held.wanted:
                    with contextlib.suppress(queue.Full):
                        self._to_read.put(work, timeout=FULL_SECONDS)
                        break
            self._slow.remove(job_id)

        self._slow.append(job_id)
        Vital(f"feed-aside-{held.lease.shard_no}", feed).start()

    @property
    def on_device(self) -> bool:
        """Whether a batch is on the device now."""
        return self._model.busy

    def _start(
        self,
        name: str,
        threads: int,
        inbox: WorkQueue | Lanes[Work],
        outbox: WorkQueue | Lanes[Work],
        acts: Mapping[str, Callable[[Work], None]],
        may_run: Callable[[Work], bool],
    ) -> None:
        """Start the threads of a stage. What it does to a work, in order, is timed by name."""
        limit_seconds = STORAGE_SECONDS if name in ("read", "write") else self._limit_seconds

        def run() -> None:
            while True:
                work = inbox.get()
                if work.open and not may_run(work):
                    work.drop()
                if work.open:
                    # To decode a sheet takes as long as to decode all of its photos.
                    photos = len(pictures_of(work.item.source_url)) or 1 if name == "decode" else 1
                    with self._watch.over(name, work.held, [(work.held, work.item.item_no)], limit_seconds * photos):
                        _do(acts, work)
                outbox.put(work)
                if isinstance(inbox, Lanes):
                    inbox.done(work)

        for number in range(threads):
            Vital(f"{name}-{number}", run).start()

    def _batch(self) -> None:
        while True:
            try:
                self._collect(self._to_batch.get(timeout=LOOK_SECONDS if self._batcher.waiting else None))
            except queue.Empty:
                pass
            while (batch := self._batcher.due(time.monotonic(), hungry=self._model.hungry)) is not None:
                self._model.inbox.put(batch)

    def _collect(self, work: Work) -> None:
        if work.open and not _may_start(work):
            work.drop()
        if not work.open:
            self._to_encode.put(work)
            return
        assert work.size is not None
        if work.held.claim.suspect:  # alone on the device too: if it is the poison, nobody needs to guess
            self._model.inbox.put([work])
            return
        full = self._batcher.add(work.prepared.look, bucket_of(*work.size), work, time.monotonic())
        if full is not None:
            self._model.inbox.put(full)


def _output_bucket(work: Work) -> str:
    return _bucket(work.held.claim.output_url)


def _buckets(work: Work) -> tuple[str, str]:
    url = work.item.source_url
    return _bucket(next(iter(pictures_of(url)), url)), _output_bucket(work)  # a sheet's, where its first picture lies


def _bucket(url: str) -> str:
    """`s3://bucket`; of a URL that is none, something that has a lane of its own."""
    return "/".join(url.split("/", 3)[:3])


def _has_more(work: Work) -> bool:
    return work.open and _may_go_on(work)


def _may_start(work: Work) -> bool:
    return work.held.wanted


def _may_go_on(work: Work) -> bool:
    return work.held.alive


def _do(acts: Mapping[str, Callable[[Work], None]], work: Work) -> None:
    """Run what a stage does to a work, one after the other, until something ends it."""
    for name, act in acts.items():
        if work.open:
            _act(name, act, work)


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
