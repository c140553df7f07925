"""Which pictures go through the model together. Pure: no threads, no tensors, no clock of its own."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

BUCKET_PX = 64  # sides are padded up to a multiple of this: few shapes, and at most 63 px of padding a side


def bucket_of(height: int, width: int) -> tuple[int, int]:
    """Return the padded (height, width) in pixels of a picture's batch."""
    return (-(-height // BUCKET_PX) * BUCKET_PX, -(-width // BUCKET_PX) * BUCKET_PX)


@dataclass(slots=True)
class _Waiting(Generic[T]):
    members: list[T] = field(default_factory=list)
    since: float = 0.0  # when the first member came


@dataclass(slots=True)
class Batcher(Generic[T]):
    """Collects pictures of equal key until a batch is full or its oldest member has waited too long."""

    size: int  # most pictures in a batch
    pixels: int  # most padded pixels in a batch; one larger picture goes alone
    wait_seconds: float
    _waiting: dict[Hashable, _Waiting[T]] = field(default_factory=dict)

    def add(self, key: Hashable, bucket: tuple[int, int], member: T, now: float) -> list[T] | None:
        """Take a picture in. Return its batch when that is full."""
        waiting = self._waiting.setdefault((key, bucket), _Waiting(since=now))
        waiting.members.append(member)
        limit = max(1, min(self.size, self.pixels // (bucket[0] * bucket[1])))
        if len(waiting.members) < limit:
            return None
        return self._waiting.pop((key, bucket)).members

    def due(self, now: float) -> list[list[T]]:
        """Return the batches whose oldest member has waited long enough, oldest first."""
        ripe = [key for key, waiting in self._waiting.items() if now >= waiting.since + self.wait_seconds]
        return [self._waiting.pop(key).members for key in sorted(ripe, key=lambda k: self._waiting[k].since)]

    def next_due(self) -> float | None:
        """Return when the next batch falls due, or None when nothing waits."""
        return min((waiting.since + self.wait_seconds for waiting in self._waiting.values()), default=None)
