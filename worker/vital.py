"""Threads that a worker cannot do without, and how its process ends when it must not go on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

EXIT_HUNG = 70  # something ran past its limit, and a thread cannot be ended
EXIT_BROKEN = 71  # a thread died that the process needs
EXIT_IMPATIENT = 72  # asked to stop a second time


def end_process(status: int) -> None:
    """End now, without waiting for any thread. Whoever supervises the process starts it anew."""
    os._exit(status)


class Vital(threading.Thread):
    """A thread that may end when its work is done, but never by an error: without it the process would do harm."""

    def __init__(self, name: str, body: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._body = body

    def run(self) -> None:
        try:
            self._body()
        except BaseException:
            log.exception("thread_died", thread=self.name)
            end_process(EXIT_BROKEN)
