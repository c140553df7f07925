"""When a process that died is started again. Pure: times are of one monotonic clock, in seconds."""

from __future__ import annotations

import random

CRASHES = 5  # in a row, before a process is given up
LONGEST_PAUSE_SECONDS = 30.0


class Restarts:
    """The deaths of one process. The pauses after them grow, and are never quite alike on any two processes."""

    def __init__(self, *, now: float, healthy_seconds: float) -> None:
        """`healthy_seconds`: a process that ran for so long starts its row of crashes anew."""
        self.start_again_at: float | None = None
        self._healthy_seconds = healthy_seconds
        self._crashes = 0
        self._started_at = now

    def ready(self) -> None:
        """Note that the process came up well: its row of crashes starts anew."""
        self._crashes = 0

    def died(self, *, now: float) -> float | None:
        """Note a death and return the pause before the next start; None to give up."""
        if now - self._started_at > self._healthy_seconds:
            self._crashes = 0
        self._crashes += 1
        if self._crashes >= CRASHES:
            return None
        return self.rest(min(LONGEST_PAUSE_SECONDS, 2.0 ** (self._crashes - 1)), now=now)

    def rest(self, longest: float, *, now: float) -> float:
        """Let the next start wait for up to so many seconds, and return for how many."""
        pause = longest * random.uniform(0.75, 1.0)
        self.start_again_at = now + pause
        return pause

    def started(self, *, now: float) -> None:
        """Note that the process runs again."""
        self.start_again_at = None
        self._started_at = now
