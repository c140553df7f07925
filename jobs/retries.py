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
            yield random.uniform(0, self.longest(retry))

    def longest(self, retry: int) -> float:
        """Return the longest pause before a further try, in seconds; the first of them is number 0."""
        return min(self.cap_seconds, self.base_seconds * 2.0**retry)


STORAGE = Backoff(attempts=5, base_seconds=0.5, cap_seconds=8)  # on top of the client's own quick retries
DATABASE = Backoff(attempts=8, base_seconds=0.25, cap_seconds=5)

MINUTE, HOUR = 60, 3600
# Pauses before each further try of a webhook's message: about a day in all. Most outages are short, some last a night.
WEBHOOK_SECONDS = (5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 2 * HOUR, 4 * HOUR, 7 * HOUR, 10 * HOUR)
WEBHOOK_JITTER = 0.1  # of each pause, so that what failed together does not come back together


def webhook_pause(attempt: int) -> float | None:
    """Return how many seconds to wait after attempt 1, 2 … of a message; None behind the last."""
    if attempt > len(WEBHOOK_SECONDS):
        return None
    return WEBHOOK_SECONDS[attempt - 1] * random.uniform(1 - WEBHOOK_JITTER, 1 + WEBHOOK_JITTER)


# Of a whole shard, when the tries above were in vain. With a pause of 3/4 of the longest on average, the last try comes
# about an hour after the first: an outage that is repaired within that time fails no item.
POSTPONING = Backoff(attempts=21, base_seconds=5, cap_seconds=300)
