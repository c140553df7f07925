"""The watchdog: notices a stage's call that takes longer than it may."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from worker.held import HeldLease
from worker.vital import Vital

TICK_SECONDS = 0.5
STORAGE_SECONDS = 300.0  # reads and writes have limits of their own, far below; a dead network mount has none
PREPARE_SECONDS = 600.0  # to load a model and encode a style


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """A stage at work on items. None are named while a shard is being prepared."""

    stage: str
    items: Sequence[tuple[HeldLease, int]]  # lease and item_no
    held: HeldLease
    limit_seconds: float
    seconds: float = 0.0  # so far


class Watch(Vital):
    """Adds up how long each thread's current call has taken, and tells the first that takes too long.

    It counts its own ticks instead of comparing clocks: a process that was stopped and goes on has hung nowhere.
    """

    def __init__(self, on_hung: Callable[[Call], None]) -> None:
        super().__init__("watch", self._run)
        self._on_hung = on_hung
        self._calls: dict[int, Call] = {}

    @contextmanager
    def over(
        self, stage: str, held: HeldLease, items: Sequence[tuple[HeldLease, int]], limit_seconds: float
    ) -> Iterator[None]:
        """Watch over a call of this thread. Calls are not nested."""
        thread = threading.get_ident()
        self._calls[thread] = Call(stage=stage, items=items, held=held, limit_seconds=limit_seconds)
        try:
            yield
        finally:
            del self._calls[thread]

    def tick(self, passed_seconds: float) -> None:
        """Add some time to every call, but no more than two ticks of it."""
        for call in list(self._calls.values()):
            call.seconds += min(passed_seconds, 2 * TICK_SECONDS)
            if call.seconds > call.limit_seconds:
                self._on_hung(call)

    def _run(self) -> None:
        looked_at = time.monotonic()
        while True:
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            self.tick(now - looked_at)
            looked_at = now
