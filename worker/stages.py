"""What each stage does to one item. A stage raises; who runs it turns that into the item's reason."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
import torch

from jobs.errors import GateBroken, StorageError
from jobs.gates import broken_gates
from jobs.leases import FailedTry
from jobs.locations import Location
from jobs.output_keys import rejected_url
from jobs.retries import STORAGE
from jobs.storage import Storages
from worker.images import PictureLimits, decode, encode, inspect
from worker.quality.item import measure_item
from worker.work import Budget, Work

log = structlog.get_logger(__name__)

T = TypeVar("T")

RETRY_SECONDS = 60.0  # from the first try on; later ones are left to another attempt of the shard
COPIES = 4  # of a picture's pixels at the same time, at most: decoded, batched, restyled, being encoded


class Stages:
    """The stages before and after the model."""

    def __init__(self, storages: Storages, limits: PictureLimits, *, memory_bytes: int) -> None:
        self._storages = storages
        self._limits = limits
        self._files = Budget(memory_bytes // 4)
        self._pixels = Budget(memory_bytes - memory_bytes // 4)

    def read(self, work: Work) -> None:
        """Fetch the file."""
        source = Location.parse(work.item.source_url)
        storage = self._storages.at(source)
        data = _retrying(work, lambda: storage.read(source.key, max_bytes=self._limits.max_bytes))
        work.reserve(self._files, len(data))
        work.data = data
        work.source_bytes = len(data)
        work.source_sha256 = hashlib.sha256(data).hexdigest()

    def decode(self, work: Work) -> None:
        """Turn the file into pixels, once there is room for them."""
        data = work.data
        header = inspect(data, self._limits)
        pixels_bytes = header.decoded_bytes * COPIES
        # The room for the file is kept until the pixels have theirs. That cannot wait for ever: what holds room
        # for pixels has passed this stage and waits for nobody's file.
        self._pixels.acquire(pixels_bytes)
        work.free()
        work.budget, work.budget_bytes = self._pixels, pixels_bytes
        work.picture = decode(data, self._limits)
        work.size = (work.picture.height, work.picture.width)

    def measure(self, work: Work) -> None:
        """See what the picture has kept, and whether that is enough for the recipe's gates."""
        assert work.picture is not None
        assert work.output is not None
        original, restyled = (
            torch.from_numpy(pixels).permute(2, 0, 1) for pixels in (work.picture.pixels, work.output)
        )
        work.measures = measure_item(original, restyled, palette=work.prepared.palette)
        # The claim's own: recipes that differ in their gates alone share what is prepared.
        broken = broken_gates(work.held.claim.recipe.gates, work.measures)
        if broken:
            work.rejection = GateBroken("; ".join(broken))

    def encode(self, work: Work) -> None:
        """Turn the restyled pixels into a file, with the source's own alpha."""
        assert work.picture is not None
        assert work.output is not None
        recipe = work.prepared.recipe
        data = encode(work.output, work.picture.alpha, format=recipe.format, quality=recipe.quality)
        work.free()
        work.data = data
        work.sha256 = hashlib.sha256(data).hexdigest()
        work.written_bytes = len(data)

    def write(self, work: Work) -> None:
        """Store the result. Repeated by a later attempt it writes the same bytes to the same key.

        It never takes the place of what a later job has written there, however long this worker slept.
        """
        claim = work.held.claim
        folder = rejected_url(claim.output_url, claim.lease.job_id) if work.rejection else claim.output_url
        target = Location.parse(folder).child(work.item.output_key)
        storage = self._storages.at(target)
        media_type = work.prepared.recipe.format.media_type
        order = f"{claim.job_created_at:%Y%m%dT%H%M%S.%f}"
        _retrying(work, lambda: storage.write(target.key, work.data, media_type=media_type, order=order))
        work.free()


def _retrying(work: Work, attempt: Callable[[], T]) -> T:
    """Try, and try again while storage does not answer."""
    until = time.monotonic() + RETRY_SECONDS
    for delay in STORAGE.delays():
        try:
            return attempt()
        except StorageError as error:
            if not error.retryable or not work.held.alive or time.monotonic() > until:
                raise
            tried = FailedTry(item_no=work.item.item_no, code=str(error.code), message=str(error))
            work.failed_tries.append(tried)
            log.info(
                "item_retried",
                item_no=tried.item_no,
                code=tried.code,
                error=tried.message,
                delay_seconds=round(delay, 2),
            )
            work.held.pause(delay)
    return attempt()
