"""No child outlives its launcher, whatever ends that."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from restyle.processes import Process, ProcessDied, StackError, environment
from tests.restyle.watching import wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")

CHILD = "import os; print(os.getpid(), flush=True); import time; time.sleep(60)"
STUBBORN_CHILD = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {CHILD}"
LAUNCHER = """
import sys, time
from pathlib import Path
from restyle.processes import Process, environment
from restyle.signals import stopping_on_signals

log, code = Path(sys.argv[1]), sys.argv[2]
child = Process("child", [sys.executable, "-c", code], env=environment({}), log_path=log, grace_seconds=0.2)
try:
    with stopping_on_signals():
        child.start()
        while not child.said("\\n"):
            time.sleep(0.01)
        print("ready", flush=True)
        if sys.argv[3] == "raise":
            raise RuntimeError("an error of the launcher")
        time.sleep(60)
finally:
    child.ask_to_stop()
    child.finish_stopping()
"""


def launched(log: Path, code: str, then: str = "wait") -> subprocess.Popen[str]:
    """Start a launcher with one child, and return when the child runs."""
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(log), code, then],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == "ready\n"
    return launcher


def process(command: list[str], log: Path, **options: float) -> Process:
    return Process("child", command, env=environment({}), log_path=log, **{"grace_seconds": 5.0} | options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("code", [CHILD, STUBBORN_CHILD], ids=["obeys", "ignores SIGTERM"])
def test_a_child_ends_with_its_launcher(tmp_path: Path, number: signal.Signals, code: str) -> None:
    log = tmp_path / "log"
    with launched(log, code) as launcher:
        launcher.send_signal(number)

        assert wait_until_gone(int(log.read_text()))


def test_a_child_ends_with_a_launcher_that_fails(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with launched(log, CHILD, then="raise") as launcher:
        assert wait_until_gone(int(log.read_text()))
    assert launcher.returncode == 1


def test_a_death_is_told_with_the_last_lines_of_the_log(tmp_path: Path) -> None:
    code = "for line in range(100): print('line', line)\nraise SystemExit(3)"
    child = process([sys.executable, "-c", code], tmp_path / "log")
    child.start()

    assert child.wait(60) == 3
    message = str(ProcessDied(child))
    assert "exit code 3" in message
    assert "line 99" in message
    assert "line 80" in message
    assert "line 79" not in message


def test_a_word_of_an_earlier_run_is_not_heard_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    earlier = process([sys.executable, "-c", "print('ready')"], log)
    earlier.start()
    earlier.wait(60)
    assert earlier.said("ready")

    silent = process([sys.executable, "-c", "pass"], log)
    silent.start()
    silent.wait(60)

    assert not silent.said("ready")


def test_waiting_for_a_process_has_an_end(tmp_path: Path) -> None:
    child = process([sys.executable, "-c", CHILD], tmp_path / "log")
    child.start()
    try:
        with pytest.raises(StackError, match="had not ended"):
            child.wait(0.01)
    finally:
        child.kill()
    assert child.exit_code == -signal.SIGKILL
