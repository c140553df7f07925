"""Moves batches to the device and results back, beside what the device computes.

On CUDA each way has a stream of its own and goes through pinned memory. What a stream still reads must not be given
back to the allocator, which would hand it to the next batch: one product would be painted on another. Whoever holds a
`Loaded` or a `Restyled` keeps its tensors alive, and lets go only after `unload` has waited for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.batching import bucket_of
from worker.pipelines.base import Batch
from worker.work import Work


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """A batch on its way to the device, or there."""

    works: Sequence[Work]
    batch: Batch
    arrived: torch.cuda.Event | None = None  # when its pixels are on the device; None: now
    host: Tensor | None = None  # the pinned copy that they come from

    def part(self, start: int, end: int) -> Loaded:
        """Return a run of its pictures; the pixels are not copied."""
        return Loaded(
            works=self.works[start:end],
            batch=self.batch.part(start, end),
            arrived=self.arrived,
            host=self.host,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Restyled:
    """A batch that the model has done, or is about to have done."""

    loaded: Loaded
    images: Tensor  # uint8 [N, 3, H, W] on the device; or tables, float [N, 3, D, D, D]
    started: torch.cuda.Event | None = None
    done: torch.cuda.Event | None = None  # None: now


class Transfers:
    """The two ways between memory and one device. Each method is called from one thread of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._on_cuda = device.type == "cuda"
        self._in = torch.cuda.Stream(device) if self._on_cuda else None
        self._out = torch.cuda.Stream(device) if self._on_cuda else None

    def load(self, works: Sequence[Work]) -> Loaded:
        """Put pictures of one bucket into one tensor, and send it on its way.

        Where the device has no room for it now, it stays in memory: `bring` tries again when its turn has come.
        """
        host = assemble(works, pinned=self._on_cuda)
        batch = batch_of(works, host, assemble_masks(works))
        if self._in is None:
            return Loaded(works=works, batch=batch)
        try:
            with torch.cuda.stream(self._in):
                there = batch.on(self._device, non_blocking=True)
                arrived = self._in.record_event()
        except torch.OutOfMemoryError:
            return Loaded(works=works, batch=batch)
        return Loaded(works=works, batch=there, arrived=arrived, host=host)

    def bring(self, loaded: Loaded) -> Batch:
        """Return the batch for the current stream to compute on. Raises OutOfMemoryError where there is no room."""
        if loaded.arrived is not None:
            torch.cuda.current_stream(self._device).wait_event(loaded.arrived)
        return loaded.batch.on(self._device)

    def unload(self, restyled: Restyled) -> float | None:
        """Wait for the result, and give each work its output. Return the seconds it took the device, where it tells."""
        images, seconds = restyled.images, None
        tables = images.ndim == 5
        images = images if tables else images.permute(0, 2, 3, 1)
        if restyled.done is not None:
            images = self._fetched(images, restyled.done)
            assert restyled.started is not None
            seconds = restyled.started.elapsed_time(restyled.done) / 1000
        loaded = restyled.loaded
        scale = 1 if tables else images.shape[1] // loaded.batch.images.shape[2]  # of what became larger
        for image, (height, width), work in zip(images, loaded.batch.sizes, loaded.works, strict=True):
            if work.open:
                # A view: the encoder makes it contiguous.
                work.output = image.numpy() if tables else image[: height * scale, : width * scale].numpy()
        return seconds

    def _fetched(self, images: Tensor, done: torch.cuda.Event) -> Tensor:
        """Copy [N, …] into pinned memory once it is computed, and wait until it is there."""
        assert self._out is not None
        with torch.cuda.stream(self._out):
            self._out.wait_event(done)
            host = torch.empty(images.shape, dtype=images.dtype, pin_memory=True)
            host.copy_(images.contiguous(), non_blocking=True)
            self._out.record_event().synchronize()
        return host


def assemble(works: Sequence[Work], *, pinned: bool = False) -> Tensor:
    """Put pictures of one bucket into one tensor uint8 [N, 3, H, W], channels last, padded with black at the right
    and at the bottom.
    """
    height, width = bucket_of(*_size(works[0]))
    images = torch.empty((len(works), height, width, 3), dtype=torch.uint8, pin_memory=pinned)
    for slot, work in zip(images, works, strict=True):
        assert work.picture is not None
        slot[: work.picture.height, : work.picture.width] = torch.from_numpy(work.picture.pixels)
        slot[: work.picture.height, work.picture.width :] = 0
        slot[work.picture.height :] = 0
    return images.permute(0, 3, 1, 2)


def assemble_masks(works: Sequence[Work]) -> Tensor | None:
    """Put their masks into one tensor uint8 [N, 1, H, W], padded with background; None where no pipeline needs them."""
    if not any(step.needs_masks for step in works[0].prepared.steps):
        return None
    masks = torch.zeros((len(works), 1, *bucket_of(*_size(works[0]))), dtype=torch.uint8)
    for slot, work in zip(masks, works, strict=True):
        assert work.mask is not None
        height, width = _size(work)
        slot[0, :height, :width] = torch.from_numpy(work.mask)
    return masks


def batch_of(works: Sequence[Work], images: Tensor, masks: Tensor | None) -> Batch:
    """Return the batch of works of one recipe."""
    wishes = [work.wish for work in works if work.wish is not None]
    return Batch(images=images, sizes=[_size(work) for work in works], masks=masks, wishes=wishes or None)


def _size(work: Work) -> tuple[int, int]:
    assert work.size is not None
    return work.size
