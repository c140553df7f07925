"""Those who wait in this process for something to happen to a job: a bounded number, none of whom holds a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MOST = 100  # waiting at once: each asks the database once or twice a second


class Watchers:
    """Counts who waits, and wakes all when the process is about to stop. For the event loop's thread alone."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._count = 0
        self._stop_asked = asyncio.Event()

    @property
    def stopping(self) -> bool:
        return self._stop_asked.is_set()

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Take a place for as long as the block runs. Gives whether one was free."""
        free = self._count < self._most and not self.stopping
        self._count += free
        try:
            yield free
        finally:
            self._count -= free

    async def pause(self, seconds: float) -> None:
        """Wait, at most until the process stops."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop_asked.wait(), seconds)

    def stop(self) -> None:
        """Let everybody go."""
        self._stop_asked.set()
