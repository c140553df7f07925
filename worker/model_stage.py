"""The model stage: loading, computing and unloading batches in threads of their own, so that the device never waits."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from queue import Queue

import structlog
import torch

from jobs.errors import ErrorCode, JobsError, OutOfMemory
from worker import cascade
from worker.batching import BatchSizes, bucket_of
from worker.pipelines.base import Batch, TablePipeline, TiledPipeline
from worker.prepared import Prepared
from worker.shared_lock import SharedLock
from worker.transfers import Loaded, Restyled, Transfers, assemble_masks, batch_of
from worker.vital import Vital
from worker.watch import Watch
from worker.work import Work

log = structlog.get_logger(__name__)

BATCHES_WAITING = 1  # before each thread: one in its hands and one ready keep the device busy, more only hold memory


class ModelFailed(JobsError):
    """The model could not process this picture."""

    code = ErrorCode.MODEL_FAILED


class ModelStage:
    """Runs batches on one device and sends their works on.

    A GPU computes one after the other. On a CPU each batch has one thread, and there are several: how torch divides a
    sum among threads would show in a picture's last bits.

    A batch that is too large for the device is halved and its items are tried again, once nothing else could be
    evicted; `sizes` learns of it. A picture that is too large alone runs in pieces where its model can do that. A
    batch that fails in any other way is run item by item, so that one bad item costs nobody else.
    """

    def __init__(
        self,
        device: torch.device,
        watch: Watch,
        sizes: BatchSizes,
        *,
        limit_seconds: float,  # for each forward pass
        threads: int,  # that compute, each a batch of its own; a GPU has one
        loading: SharedLock,  # held alone while a model is being loaded
        evict: Callable[[str], bool],  # all models but those of a fingerprint; returns whether there were any
        send_on: Callable[[Work], None],
    ) -> None:
        self.inbox: Queue[list[Work]] = Queue(maxsize=BATCHES_WAITING)
        self._device = device
        self._watch = watch
        self._sizes = sizes
        self._limit_seconds = limit_seconds
        self._threads = threads
        self._loading = loading
        self._evict = evict
        self._send_on = send_on
        self._transfers = Transfers(device)
        self._loaded: Queue[Loaded] = Queue(maxsize=BATCHES_WAITING)
        self._restyled: Queue[Restyled] = Queue(maxsize=BATCHES_WAITING)
        self._lock = threading.Lock()
        self._on_device = 0  # works that the device has begun and not given back

    def start(self) -> None:
        """Start the threads."""
        Vital("load", self._load).start()
        for number in range(self._threads):
            Vital(f"model-{number}", self._run).start()
        Vital("unload", self._unload).start()

    @property
    def busy(self) -> bool:
        """Whether the device has a batch now."""
        return self._on_device > 0

    @property
    def hungry(self) -> bool:
        """Whether a batch that comes now is the next one to be loaded."""
        return self.inbox.empty()

    def _load(self) -> None:
        while True:
            self._load_batch(self.inbox.get())

    def _load_batch(self, works: list[Work]) -> None:
        try:
            self._loaded.put(self._transfers.load(works))
        except Exception as error:
            if not _out_of_memory(error):
                raise
            if len(works) == 1:
                works[0].fail(OutOfMemory())
                self._send_on(works[0])
                return
            log.warning("batch_divided", size=len(works), error=repr(error))
            for work in works:
                self._load_batch([work])

    def _run(self) -> None:
        while True:
            loaded = self._loaded.get()
            self._count(len(loaded.works))
            for work in loaded.works:
                if not work.held.begin(work.item.item_no):
                    work.drop()
            if any(work.open for work in loaded.works):
                self._compute(loaded)
            else:
                self._leave(loaded.works)
            del loaded  # it would keep the device's memory until the next one comes

    def _unload(self) -> None:
        while True:
            restyled = self._restyled.get()
            works = restyled.loaded.works
            with self._watched(works):
                seconds = self._transfers.unload(restyled)
            if seconds is not None:
                self._note(works, seconds)
            del restyled
            self._leave(works)

    def _compute(self, loaded: Loaded) -> None:
        """Have each work restyled, or failed."""
        started = time.perf_counter()
        try:
            with self._loading.shared(), self._watched(loaded.works):
                restyled = self._forward(loaded)
        except Exception as error:  # noqa: BLE001  # a model may raise anything
            # While a traceback lives, so do the tensors of all the calls that it passed through.
            failed = error.with_traceback(None) if _out_of_memory(error) else error
        else:
            if restyled.done is None:
                self._note(loaded.works, time.perf_counter() - started)
            self._sizes.did_fit(_kind(loaded.works), len(loaded.works))
            self._restyled.put(restyled)
            return
        self._note(loaded.works, time.perf_counter() - started)
        if _out_of_memory(failed):
            self._make_room(loaded, failed)
        else:
            self._narrow_down(loaded, failed)

    def _forward(self, loaded: Loaded) -> Restyled:
        prepared = loaded.works[0].prepared
        with torch.inference_mode():
            batch = self._transfers.bring(loaded)
            started = self._event()
            images = self._results(prepared, batch)
            return Restyled(loaded=loaded, images=images, started=started, done=self._event())

    @staticmethod
    def _results(prepared: Prepared, batch: Batch) -> torch.Tensor:
        """Return pictures, or tables where the recipe asks for those."""
        if prepared.recipe.format.is_picture:
            return cascade.run(prepared.steps, batch)
        [step] = prepared.steps
        assert isinstance(step.pipeline, TablePipeline)  # its card said so
        return step.pipeline.tables(step.of(batch, batch.images), step.style, step.parameters)

    def _event(self) -> torch.cuda.Event | None:
        if self._device.type != "cuda":
            return None
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _make_room(self, loaded: Loaded, error: Exception) -> None:
        works = loaded.works
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if self._evict(works[0].prepared.fingerprint):
            log.warning("models_evicted", size=len(works), error=repr(error))
            self._compute(loaded)
        elif len(works) > 1:
            self._sizes.did_not_fit(_kind(works), len(works))
            log.warning("batch_divided", size=len(works), error=repr(error))
            middle = len(works) // 2
            self._compute(loaded.part(0, middle))
            self._compute(loaded.part(middle, len(works)))
        else:
            self._run_tiled(works[0])
            self._leave(works)

    def _narrow_down(self, loaded: Loaded, error: Exception) -> None:
        works = loaded.works
        if len(works) > 1:
            log.warning("batch_divided", size=len(works), error=repr(error))
            for place in range(len(works)):
                self._compute(loaded.part(place, place + 1))
            return
        log.error("model_failed", item_no=works[0].item.item_no, exc_info=error)
        works[0].fail(ModelFailed(f"the model failed on this picture: {error!r}"))
        self._leave(works)

    def _run_tiled(self, work: Work) -> None:
        """Restyle a picture that does not fit on the device whole."""
        prepared, picture = work.prepared, work.picture
        assert picture is not None
        if not any(isinstance(step.pipeline, TiledPipeline) for step in prepared.steps):
            work.fail(OutOfMemory())
            return
        log.info("picture_tiled", item_no=work.item.item_no, height=picture.height, width=picture.width)
        started = time.perf_counter()
        try:
            with self._loading.shared(), self._watched([work]), torch.inference_mode():
                pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None]
                masks = assemble_masks([work])
                batch = batch_of(
                    [work], pixels, None if masks is None else masks[..., : picture.height, : picture.width]
                )
                if prepared.recipe.format.is_picture:
                    [image] = cascade.run_tiled(prepared.steps, batch, self._device)
                    work.output = image.permute(1, 2, 0).numpy()
                else:
                    [work.output] = self._results(prepared, batch).cpu().numpy()
        except Exception as error:  # noqa: BLE001  # as above
            failed = OutOfMemory() if _out_of_memory(error) else ModelFailed(f"the model failed in tiles: {error!r}")
            work.fail(failed)
        self._note([work], time.perf_counter() - started)

    def _note(self, works: Sequence[Work], seconds: float) -> None:
        """Add to each picture its share of a batch's time, and of the device, which each thread has a part of."""
        share = seconds / len(works)
        for work in works:
            work.device_seconds = (work.device_seconds or 0.0) + share / self._threads
            work.milliseconds["model"] = round(work.milliseconds.get("model", 0.0) + share * 1000, 1)

    def _watched(self, works: Sequence[Work]) -> contextlib.AbstractContextManager[None]:
        items = [(work.held, work.item.item_no) for work in works]
        return self._watch.over("model", works[0].held, items, self._limit_seconds)

    def _leave(self, works: Sequence[Work]) -> None:
        for work in works:
            self._send_on(work)
        self._count(-len(works))

    def _count(self, works: int) -> None:
        with self._lock:
            self._on_device += works


def _kind(works: Sequence[Work]) -> tuple[tuple[str, int | None], tuple[int, int]]:
    assert works[0].size is not None
    return (works[0].prepared.look, bucket_of(*works[0].size))


def _out_of_memory(error: Exception) -> bool:
    # The CPU's allocator has no exception class of its own.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
