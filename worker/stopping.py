"""How a signal ends the process, in time, whatever any of its threads waits for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from worker.vital import EXIT_IMPATIENT, Vital, end_process

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Stops once, in a thread of its own: the main one may be waiting for a broker that does not answer."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._asked = threading.Event()
        self._status = 0
        Vital("stop", self._run).start()

    def listen(self) -> None:
        """Stop at SIGTERM or SIGINT."""
        for number in SIGNALS:
            signal.signal(number, lambda *_: self.ask())

    def ask(self) -> None:
        """Begin to stop; a further signal ends the process at once. To be called by a signal's handler."""
        if self._asked.is_set():  # Celery's handlers came after the first signal, and took the place of those below
            end_process(EXIT_IMPATIENT)
        for number in SIGNALS:
            signal.signal(number, lambda *_: end_process(EXIT_IMPATIENT))
        self._asked.set()

    def finish(self, status: int) -> None:
        """Stop, with this exit status if nobody has asked for it yet, and end the process."""
        if not self._asked.is_set():
            self._status = status
            self._asked.set()
        threading.Event().wait()

    def _run(self) -> None:
        self._asked.wait()
        self._stop()
        end_process(self._status)
