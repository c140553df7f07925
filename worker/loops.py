"""Loops that look for work: at a doorbell at once, else every poll interval."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import structlog

from worker.vital import Vital

log = structlog.get_logger(__name__)

FAILURE_SECONDS = 5.0  # longest pause after a step that failed


class Loop(Vital):
    """Calls `step` over and over. A step returns whether it found work; one that raises is called again later."""

    def __init__(self, name: str, step: Callable[[], bool], *, poll_seconds: float) -> None:
        super().__init__(name, self._run)
        self._step = step
        self._poll_seconds = poll_seconds
        self._woken = threading.Event()
        self._stop_asked = threading.Event()

    def wake(self) -> None:
        """Look for work now."""
        self._woken.set()

    def stop(self) -> None:
        """End after the current step."""
        self._stop_asked.set()
        self._woken.set()

    def _run(self) -> None:
        failures = 0
        while not self._stop_asked.is_set():
            try:
                busy = self._step()
                failures = 0
            except Exception as error:  # noqa: BLE001  # no fault of a database, a storage or a row may end the process
                failures += 1
                busy = False
                log.warning("step_failed", loop=self.name, error=repr(error), failures=failures)
            if not busy:
                self._pause(failures)

    def _pause(self, failures: int) -> None:
        longest = min(FAILURE_SECONDS, self._poll_seconds * 2 ** min(failures, 8)) if failures else self._poll_seconds
        self._woken.wait(longest * random.uniform(0.5, 1.0))
        self._woken.clear()
