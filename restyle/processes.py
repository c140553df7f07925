"""Child processes: each ends with its launcher; those of the embedded stack have a log of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from restyle.signals import signals_held

LEASH = Path(__file__).with_name("leash.py")
SOURCES = Path(__file__).parent.parent
TAIL_LINES = 20


class StackError(Exception):
    """The processes of this machine cannot do what was asked; the message says why and what helps."""


class ProcessDied(StackError):
    """A process of the stack ended on its own."""

    def __init__(self, process: Process) -> None:
        ending = f"the last lines of {process.log_path}:\n{process.log_tail()}"
        super().__init__(f"{process.name} ended with exit code {process.exit_code}; {ending}")


def python_module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our modules. A folder of the same name where it runs is not looked at."""
    return [sys.executable, "-P", "-m", name, *arguments]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: this one's, the settings, and our source tree if we run from one."""
    inherited = dict(os.environ)
    if (SOURCES / "pyproject.toml").exists():
        paths = [str(SOURCES), inherited.get("PYTHONPATH", "")]
        inherited["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return {**inherited, **settings}


class Child:
    """One child. Start it from the main thread: the leash ends it with the thread that started it."""

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], grace_seconds: float) -> None:
        """`grace_seconds`: from SIGTERM to SIGKILL."""
        self.name = name
        self._command = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *command]
        self._env = env
        self._grace_seconds = grace_seconds
        self._child: subprocess.Popen[bytes] | None = None

    def launch(self, *arguments: str, **options: Any) -> None:
        """Start the process, or start it again after it ended. `options` are those of `subprocess.Popen`."""
        # Ctrl-C between start and assignment would leave a child that nobody knows. The leash lets it hear again.
        with signals_held():
            self._child = subprocess.Popen(
                [*self._command, *arguments],
                stdin=subprocess.DEVNULL,
                env=self._env,
                process_group=0,  # the terminal's Ctrl-C is for the launcher, which stops its children in order
                **options,
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs, and before it was started."""
        return self._child.poll() if self._child else None

    def ask_to_stop(self) -> None:
        """Send SIGTERM, if it runs."""
        if self.exit_code is None:
            self._signal(signal.SIGTERM)

    def finish_stopping(self) -> None:
        """Wait for the end of a process that was asked to stop; kill it when its grace is over."""
        if self._child is None:
            return
        try:
            self._child.wait(self._grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process and what it may have started, at once."""
        if self._child is not None and self._child.poll() is None:
            self._signal(signal.SIGKILL)
            self._child.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)


class Process(Child):
    """A child with a log of its own."""

    def __init__(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], log_path: Path, grace_seconds: float
    ) -> None:
        super().__init__(name, command, env=env, grace_seconds=grace_seconds)
        self.log_path = log_path
        self._log_start = 0

    def start(self) -> None:
        """Start the process, or start it again after it ended. Its log goes on."""
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self.launch(stdout=log, stderr=subprocess.STDOUT)

    def wait(self, timeout: float) -> int:
        """Wait for it to end on its own and return its exit code.

        Raises:
            StackError: it did not end in time.

        """
        assert self._child is not None
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise StackError(f"{self.name} had not ended after {timeout:g} s, see {self.log_path}") from None

    def said(self, word: str) -> bool:
        """Return whether its log holds a word since its last start."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return word.encode() in log.read()

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        with self.log_path.open(encoding="utf-8", errors="replace") as log:
            return "".join(deque(log, TAIL_LINES)).rstrip() or "(empty)"
