"""Starts workers and APIs without loading torch for each: see `tests.nursery_process`."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from tests.servers import Server

ROOT = Path(__file__).parents[1]
ANSWER_SECONDS = 120.0  # on a machine that does much else
LOOK_SECONDS = 0.02


class Nursery(Server):
    """`tests.nursery_process`: loads torch once, and forks processes."""

    name: ClassVar[str] = "nursery"

    def __init__(self, parent: Path) -> None:
        super().__init__(parent)
        self.parent = parent
        self._ends = self.folder / "ends"
        self._ends.touch()
        self._to_it, self._from_it = os.pipe(), os.pipe()
        self._forked = 0

    def command(self) -> list[str]:
        ends = [str(self._ends), str(self._to_it[0]), str(self._from_it[1])]
        return [sys.executable, "-m", "tests.nursery_process", *ends]

    def process_options(self) -> dict[str, Any]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
        return {"env": environment, "pass_fds": (self._to_it[0], self._from_it[1])}

    def probe(self) -> None:
        if not select.select([self._from_it[0]], [], [], 0)[0]:
            raise ConnectionError("it has not said that it is ready")
        assert self._answer() == "ready"

    def fork(self, program: str, environment: dict[str, str], *, folder: Path, log: Path, pid_file: Path) -> Forked:
        """Make a process that runs a program as `python -m` would."""
        self._forked += 1
        wanted = {
            "number": self._forked,
            "program": program,
            "env": environment,
            "folder": str(folder),
            "log": str(log),
            "pid_file": str(pid_file),
        }
        os.write(self._to_it[1], json.dumps(wanted).encode() + b"\n")
        return Forked(self, self._forked, int(self._answer()))

    def status(self, number: int) -> int | None:
        """Return how the process of this number ended: its exit status, or minus the signal; None while it runs."""
        for line in self._ends.read_text().splitlines():
            if line.startswith(f"{number} "):
                return int(line.split()[1])
        return None

    def _answer(self) -> str:
        data = b""
        while not data.endswith(b"\n"):
            assert select.select([self._from_it[0]], [], [], ANSWER_SECONDS)[0], "the nursery does not answer"
            data += os.read(self._from_it[0], 64)
        return data.decode().strip()


class Forked:
    """A process of a nursery, as much like `subprocess.Popen` as tests need."""

    def __init__(self, nursery: Nursery, number: int, pid: int) -> None:
        self._nursery = nursery
        self._number = number
        self.pid = pid

    @property
    def returncode(self) -> int | None:
        """Its exit status, or minus the signal; None while it runs."""
        return self._nursery.status(self._number)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float = ANSWER_SECONDS) -> int:
        """Wait for its end and return how it ended.

        Raises:
            subprocess.TimeoutExpired: it still runs.

        """
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired([f"process {self.pid}"], timeout)
            time.sleep(LOOK_SECONDS)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)
