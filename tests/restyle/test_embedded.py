"""The embedded stack as processes: it works, and nothing of it is left behind, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from restyle.embedded import check_port, free_port, running_stack
from restyle.folder import LOCK, held
from restyle.processes import StackError
from tests.restyle.watching import processes_with, wait_until_gone

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@contextmanager
def up(data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `restyle up` until it says that it is up. Yield it and the address of its API."""
    port = free_port()
    command = [sys.executable, "-m", "restyle", "up", "--data", str(data), "--port", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as launcher:
        try:
            read_until(launcher, "Ctrl-C stops everything")
            yield launcher, f"http://127.0.0.1:{port}"
        finally:
            launcher.kill()


def read_until(launcher: subprocess.Popen[str], words: str) -> str:
    """Return what was said up to a line with these words."""
    said = ""
    assert launcher.stderr is not None
    for line in launcher.stderr:
        said += line
        if words in line:
            return said
    raise AssertionError(f"{words!r} was never said: {said}")


def run_folder(data: Path) -> Path:
    """Where the stack that holds a data folder, or held it last, has its socket."""
    return Path(json.loads((data / LOCK).read_text())["run"])


def processes_of(data: Path) -> dict[int, str]:
    # The broker writes a title over its environment; the title names its socket.
    return processes_with(f"RESTYLE_DATABASE_URL=sqlite:///{data}/restyle.db", str(run_folder(data)))


@linux
@pytest.mark.system
def test_a_stack_comes_up_stops_without_a_trace_and_comes_up_again(tmp_path: Path) -> None:
    with up(tmp_path) as (launcher, url):
        assert httpx.get(f"{url}/readyz", trust_env=False, timeout=60).json()["ready"]
        running = processes_of(tmp_path)
        names = " ".join(running.values())
        assert all(name in names for name in ("valkey-server", "-m api", "-m worker"))

        launcher.send_signal(signal.SIGINT)
        read_until(launcher, "stopped")
        assert launcher.wait(90) == 0
        assert processes_of(tmp_path) == {}
        assert not run_folder(tmp_path).exists()

    with up(tmp_path) as (launcher, url):
        running = processes_of(tmp_path)
        second = [sys.executable, "-m", "restyle", "up", "--data", str(tmp_path), "--port", str(free_port())]
        refused = subprocess.run(second, capture_output=True, text=True, timeout=90)
        assert refused.returncode == 1
        assert f"another stack (process {launcher.pid}) holds {tmp_path}" in refused.stderr

        worker = next(pid for pid, line in running.items() if "-m worker" in line)
        assert f"TMPDIR={run_folder(tmp_path)}\0" in Path(f"/proc/{worker}/environ").read_text()
        os.kill(worker, signal.SIGKILL)
        read_until(launcher, "worker ended with exit code -9")

        launcher.kill()
        assert all(wait_until_gone(pid) for pid in running.keys() | processes_of(tmp_path).keys())

    left = run_folder(tmp_path)
    assert left.exists(), "nobody was there to remove it"
    with held(tmp_path):
        assert not left.exists()


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} cannot be used .*--port"):
            check_port(port)


def test_a_place_that_the_settings_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="holds a comma"), running_stack(tmp_path, allowed=["/srv/a,b"]):
        pass
