"""The model stage: one batch at a time on the device."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import structlog
import torch

from jobs.errors import ErrorCode, JobsError, OutOfMemory
from worker.batching import BatchSizes, bucket_of
from worker.pipelines.base import Batch
from worker.watch import Watch
from worker.work import Work

log = structlog.get_logger(__name__)


class ModelFailed(JobsError):
    """The model could not process this picture."""

    code = ErrorCode.MODEL_FAILED


def run_batch(
    works: Sequence[Work], device: torch.device, watch: Watch, sizes: BatchSizes, *, limit_seconds: float
) -> None:
    """Give each work its output, or its error. Each forward pass may take `limit_seconds`.

    A batch that is too large for the device is halved, its items are tried again, and `sizes` learns of it. A batch
    that fails in any other way is run item by item, so that one bad item costs nobody else.
    """
    assert works[0].size is not None
    kind = (works[0].prepared.fingerprint, bucket_of(*works[0].size))
    started = time.perf_counter()
    try:
        with watch.over("model", works[0].held, [(work.held, work.item.item_no) for work in works], limit_seconds):
            _forward(works, device)
    except Exception as error:  # noqa: BLE001  # a model may raise anything
        if _out_of_memory(error):
            sizes.did_not_fit(kind, len(works))
        for part in _divided(works, error):
            run_batch(part, device, watch, sizes, limit_seconds=limit_seconds)
        return
    sizes.did_fit(kind, len(works))
    each = (time.perf_counter() - started) * 1000 / len(works)
    for work in works:
        work.milliseconds["model"] = round(each, 1)


def _divided(works: Sequence[Work], error: Exception) -> list[Sequence[Work]]:
    """Return the parts of a batch that failed that are to be tried again; a single work fails."""
    if len(works) > 1:
        log.warning("batch_divided", size=len(works), error=repr(error))
        middle = len(works) // 2 if _out_of_memory(error) else 1
        return [works[:middle], works[middle:]]
    if _out_of_memory(error):
        works[0].fail(OutOfMemory())
    else:
        log.error("model_failed", item_no=works[0].item.item_no, exc_info=error)
        works[0].fail(ModelFailed(f"the model failed on this picture: {error!r}"))
    return []


def _forward(works: Sequence[Work], device: torch.device) -> None:
    prepared = works[0].prepared
    with torch.inference_mode():
        batch = assemble(works, device)
        images = prepared.pipeline.run(batch, prepared.style, prepared.recipe.parameters)
        images = images.permute(0, 2, 3, 1).cpu()
    for image, (height, width), work in zip(images, batch.sizes, works, strict=True):
        work.output = np.ascontiguousarray(image[:height, :width].numpy())


def assemble(works: Sequence[Work], device: torch.device) -> Batch:
    """Put pictures of one bucket into one tensor, padded with black at the right and at the bottom."""
    pictures = [work.picture for work in works if work.picture is not None]
    sizes = [(picture.height, picture.width) for picture in pictures]
    height, width = bucket_of(*sizes[0])
    images = torch.zeros((len(pictures), height, width, 3), dtype=torch.uint8)
    for slot, picture in zip(images, pictures, strict=True):
        slot[: picture.height, : picture.width] = torch.from_numpy(picture.pixels)
    return Batch(images=images.permute(0, 3, 1, 2).to(device), sizes=sizes)


def _out_of_memory(error: Exception) -> bool:
    # The CPU's allocator has no exception class of its own.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
