"""Workers by the dozen, each a real process with a log of its own, and the file in which they tell what they do."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.nursery import Nursery
from tests.system.processes import Settings

WAIT_SECONDS = 120.0  # for anything that must happen, on a machine that does much else
LOOK_SECONDS = 0.02

Fact = dict[str, Any]


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = WAIT_SECONDS) -> None:
    """Look until something is so.

    Raises:
        AssertionError: it was not so in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(LOOK_SECONDS)


class ForkedWorker:
    """A worker from the nursery."""

    def __init__(self, nursery: Nursery, environment: dict[str, str]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="forked-", dir=nursery.parent))
        self._log = folder / "log"
        self._pid_file = nursery.parent / f"{folder.name}.pid"
        self._process = nursery.fork(
            "tests.chaos.witnessed_worker", environment, folder=folder, log=self._log, pid_file=self._pid_file
        )
        self.pid = self._process.pid

    def __repr__(self) -> str:
        return f"worker {self.pid} with log:\n{self.log()[-4000:]}"

    @property
    def status(self) -> int | None:
        return self._process.returncode

    @property
    def running(self) -> bool:
        return self.status is None

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of its log about an event."""
        return [json.loads(line) for line in self.log().splitlines() if f'"event": "{event}"' in line]

    def clock_hours(self) -> int:
        """By how many hours the times in its log are off."""
        [ready] = self.logged("worker_ready")
        off = datetime.datetime.fromisoformat(ready["at"]).timestamp() - self._log.stat().st_mtime
        return round(off / 3600)

    def wait_until_ready(self) -> None:
        wait_until(lambda: '"worker_ready"' in self.log() or not self.running, f"{self} to start")
        assert '"worker_ready"' in self.log(), f"did not start: {self}"

    def freeze(self) -> None:
        """Stop all its threads; the signal alone takes effect some time after it was sent."""
        self.send(signal.SIGSTOP)
        wait_until(lambda: not self.running or self._threads() <= {"T"}, f"{self} to stop")

    def _threads(self) -> set[str]:
        """Return the states of its threads, by the kernel's letters."""
        states = set()
        for path in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):  # one that has just ended
                states.add(path.read_text().rpartition(")")[2].split()[0])
        return states

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it, and all that it started, as a crash of its machine would."""
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float = WAIT_SECONDS) -> int:
        """Wait for its end. Return its exit status, or minus the signal."""
        wait_until(lambda: not self.running, f"{self} to end", seconds=seconds)
        self._pid_file.unlink(missing_ok=True)
        status = self.status
        assert status is not None
        return status


class Fleet:
    """The workers of one test, and what they told."""

    def __init__(self, nursery: Nursery, settings: Settings, path: Path) -> None:
        self._nursery = nursery
        self._settings = settings
        self._path = path
        path.touch()
        self._offset = 0
        self._rest = b""
        self._facts: list[Fact] = []
        self.workers: list[ForkedWorker] = []

    def start(self, count: int = 1, **extra: str) -> list[ForkedWorker]:
        """Start workers; they are ready when this returns."""
        environment = {**self._settings.environment(), "CHAOS_WITNESS": str(self._path), **extra}
        started = [ForkedWorker(self._nursery, environment) for _ in range(count)]
        self.workers += started
        for worker in started:
            worker.wait_until_ready()
        return started

    @property
    def living(self) -> list[ForkedWorker]:
        return [worker for worker in self.workers if worker.running]

    def kill(self) -> None:
        """End every worker."""
        for worker in self.living:
            worker.send(signal.SIGCONT)
            worker.kill()

    def facts(self, event: str | None = None, **members: Any) -> Iterator[Fact]:
        """Yield what was told so far, in order: of one kind, and with some members."""
        self._read_on()
        for fact in self._facts:
            if event in (None, fact["event"]) and all(fact.get(name) == value for name, value in members.items()):
                yield fact

    def count(self, event: str, **members: Any) -> int:
        return sum(1 for _ in self.facts(event, **members))

    def wait_for(self, event: str, count: int = 1, **members: Any) -> None:
        """Wait until something was told so many times."""
        wait_until(lambda: self.count(event, **members) >= count, f"{count} × {event} {members}: {self.workers}")

    def wait_for_end_of_one(self, or_else: Callable[[], bool]) -> None:
        """Wait until a worker that runs now has ended, or something else is so."""
        count = len(self.living)
        wait_until(lambda: len(self.living) < count or or_else(), f"one of {self.workers} to end")

    def log(self) -> str:
        return "\n".join(worker.log() for worker in self.workers)

    def _read_on(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._facts += map(json.loads, lines)
