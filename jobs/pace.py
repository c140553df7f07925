"""How fast one bucket may be called, as far as its own answers have told. Pure: the caller has the clock, and sleeps.

A bucket that answers "slow down" is called at half the rate at which it was called then, by all threads of this
process together, and evenly, so that they do not come back all at once. Each call that goes well raises the rate a
little; after a while without such an answer nothing is held back any more.
"""

from __future__ import annotations

import random
import threading
from collections import deque

LOWEST_PER_SECOND = 1.0
RISE_PER_SECOND = 0.2  # of the rate: from one call a second to a hundred in under half a minute
SETTLING_SECONDS = 1.0  # answers to calls that were under way when the rate was halved do not halve it again
FORGET_SECONDS = 60.0
MEASURED_CALLS = 1000  # of the last second, to know the rate by


class Pace:
    """The rate of calls to one bucket. Safe to share between threads. Moments are seconds of one steady clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[float] = deque(maxlen=MEASURED_CALLS)  # when the latest ones were made
        self._per_second: float | None = None  # None: as fast as anybody likes
        self._slowed_at = 0.0
        self._next_at = 0.0

    @property
    def per_second(self) -> float | None:
        """The most calls a second, None while there is no limit."""
        return self._per_second

    def turn(self, now: float) -> float:
        """Take the next turn. Return how many seconds to wait for it."""
        with self._lock:
            if self._per_second is not None and now - self._slowed_at > FORGET_SECONDS:
                self._per_second = None
            if self._per_second is None:
                self._calls.append(now)
                return 0.0
            at = max(now, self._next_at)
            self._next_at = at + random.uniform(0.5, 1.5) / self._per_second
            self._calls.append(at)
            return at - now

    def slow_down(self, now: float) -> None:
        """Note that the bucket asked for fewer calls."""
        with self._lock:
            if self._per_second is not None and now - self._slowed_at < SETTLING_SECONDS:
                return
            rate = self._measured(now) if self._per_second is None else self._per_second
            self._per_second = max(rate / 2, LOWEST_PER_SECOND)
            self._slowed_at = now
            self._next_at = max(self._next_at, now + random.uniform(0.5, 1.5) / self._per_second)

    def went_well(self) -> None:
        """Note a call that the bucket answered."""
        with self._lock:
            if self._per_second is not None:
                self._per_second += RISE_PER_SECOND  # once for each call, and so in proportion to the rate

    def _measured(self, now: float) -> float:
        return float(sum(at > now - 1.0 for at in self._calls))
