"""How long to wait before the next try. Pure: the caller sleeps."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential backoff with full jitter and an end."""

    attempts: int  # tries in all, the first one included
    base_seconds: float
    cap_seconds: float

    def delays(self) -> Iterator[float]:
        """Yield the pause before each further try, in seconds; one fewer than `attempts`."""
        for retry in range(self.attempts - 1):
            yield random.uniform(0, min(self.cap_seconds, self.base_seconds * 2**retry))


STORAGE = Backoff(attempts=5, base_seconds=0.5, cap_seconds=8)  # on top of the client's own quick retries
DATABASE = Backoff(attempts=8, base_seconds=0.25, cap_seconds=5)
