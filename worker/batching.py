"""Which pictures go through the model together. No tensors, and no clock of its own."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

GROW_AFTER = 32  # chosen: each try of a size that does not fit costs a batch that is run again
BUCKET_PX = 64  # sides are padded up to a multiple of this: few shapes, and at most 63 px of padding a side


def bucket_of(height: int, width: int) -> tuple[int, int]:
    """Return the padded (height, width) in pixels of a picture's batch."""
    return (-(-height // BUCKET_PX) * BUCKET_PX, -(-width // BUCKET_PX) * BUCKET_PX)


class BatchSizes:
    """How many pictures of a kind fit on the device, as far as its memory has told. Safe to share between threads.

    A batch that does not fit halves the size; after `GROW_AFTER` full ones that did, one more picture is tried.
    """

    def __init__(self, size: int) -> None:
        self._size = size  # of kinds of which nothing is known
        self._lock = threading.Lock()
        self._fits: dict[Hashable, int] = {}
        self._full: dict[Hashable, int] = {}  # batches of that size in a row that fitted

    def of(self, kind: Hashable) -> int:
        """Return the most pictures of a kind to put into one batch."""
        with self._lock:
            return self._fits.get(kind, self._size)

    def did_not_fit(self, kind: Hashable, size: int) -> None:
        """Note a batch for which the device had too little memory."""
        with self._lock:
            if size > self._fits.get(kind, self._size):
                return  # it was made before that was known, and tells nothing new
            self._fits[kind] = max(size // 2, 1)
            self._full[kind] = 0

    def did_fit(self, kind: Hashable, size: int) -> None:
        """Note a batch that the device took."""
        with self._lock:
            fits = self._fits.get(kind)
            if fits is None or size < fits:
                return
            self._full[kind] += 1
            if self._full[kind] >= GROW_AFTER:
                self._fits[kind] = min(fits + 1, self._size)
                self._full[kind] = 0


@dataclass(slots=True)
class _Waiting(Generic[T]):
    members: list[T] = field(default_factory=list)
    since: float = 0.0  # when the first member came


@dataclass(slots=True)
class Batcher(Generic[T]):
    """Collects pictures of equal key until a batch is full or its oldest member has waited too long.

    What is too long depends on the device: one that has enough to do gains by fuller batches.
    """

    sizes: BatchSizes  # most pictures in a batch, by key and bucket
    pixels: int  # most padded pixels in a batch; one larger picture goes alone
    hungry_seconds: float  # longest wait while the device will soon have nothing to do
    longest_seconds: float  # longest wait while it has
    _waiting: dict[Hashable, _Waiting[T]] = field(default_factory=dict)

    @property
    def waiting(self) -> bool:
        """Whether there is a batch that is not full."""
        return bool(self._waiting)

    def add(self, key: Hashable, bucket: tuple[int, int], member: T, now: float) -> list[T] | None:
        """Take a picture in. Return its batch when that is full."""
        waiting = self._waiting.setdefault((key, bucket), _Waiting(since=now))
        waiting.members.append(member)
        limit = max(1, min(self.sizes.of((key, bucket)), self.pixels // (bucket[0] * bucket[1])))
        if len(waiting.members) < limit:
            return None
        return self._waiting.pop((key, bucket)).members

    def due(self, now: float, *, hungry: bool) -> list[T] | None:
        """Return the batch whose oldest member has waited longest, if that was too long."""
        if not self._waiting:
            return None
        oldest = min(self._waiting, key=lambda key: self._waiting[key].since)
        longest = self.hungry_seconds if hungry else self.longest_seconds
        if now < self._waiting[oldest].since + longest:
            return None
        return self._waiting.pop(oldest).members
