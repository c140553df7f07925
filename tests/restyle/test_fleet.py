"""The supervisor of a machine's workers, with programs that stand in for workers: they load nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.cores import cores
from restyle.fleet import shared
from tests.restyle.watching import wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")

# Notes its process id and what it was given, says that it is ready if it is to, and waits or ends.
STAND_IN = """
import os, signal, sys, time
folder, ready, then = sys.argv[1:4]
pipe = int(sys.argv[sys.argv.index("--ready-fd") + 1])
if then == "obey":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
if then == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
name = os.environ["RESTYLE_DEVICE"] + "-" + str(os.getpid())
with open(f"{folder}/{name}", "w") as file:
    file.write(os.environ["RESTYLE_MODEL_THREADS"])
if ready == "ready":
    os.write(pipe, b"r")
os.close(pipe)
os.write(1, b"up\\n")  # at once: others write there, too
if then.isdecimal():
    os._exit(int(then))
time.sleep(300)
"""
# Runs a fleet of stand-ins: `cpu` and `cuda:1` are told apart by what follows, so that each can fare otherwise.
SUPERVISOR = """
import os, sys
from restyle import devices, fleet, restarts
restarts.LONGEST_PAUSE_SECONDS = fleet.POLL_SECONDS = 0.01
fleet.REFUSED_SECONDS, fleet.STOP_SECONDS = float(sys.argv[3]), 0.2
code, folder = sys.argv[1:3]
fares = dict(word.split("=") for word in sys.argv[4:])

class Worker(fleet.Worker):
    def __init__(self, name, device, settings):
        fleet.python_module = lambda _module: [sys.executable, "-c", code, folder, *fares[device.name].split(":")]
        super().__init__(name, device, settings)

fleet.Worker, words = Worker, ",".join(fares)
sys.exit(fleet.run(devices.devices_of(words, {}), lambda text: os.write(1, f"{text}\\n".encode())))
"""


@contextmanager
def fleet(folder: Path, *fares: str, refused_seconds: float = 60.0) -> Iterator[subprocess.Popen[str]]:
    """Run a supervisor; `fares`: of each device, `name=ready:then` or `name=silent:then`."""
    command = [sys.executable, "-c", SUPERVISOR, STAND_IN, str(folder), str(refused_seconds), *fares]
    environment = os.environ | {"RESTYLE_ITEM_SECONDS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as supervisor:
        try:
            yield supervisor
        finally:
            supervisor.kill()


def read_until(supervisor: subprocess.Popen[str], *words: str) -> str:
    """Return what was said until each of the words has been, as often as it stands here."""
    said = ""
    assert supervisor.stdout is not None
    while not all(said.count(word) >= words.count(word) for word in words):
        line = supervisor.stdout.readline()
        assert line, f"{words} were never said: {said}"
        said += line
    return said


def started(folder: Path, device: str) -> list[int]:
    """The processes that have run on a device."""
    return [int(path.name.rpartition("-")[2]) for path in folder.glob(f"{device}-*")]


def test_the_supervisor_loads_neither_torch_nor_the_worker() -> None:
    code = "import sys, restyle.commands; sys.exit('torch' in sys.modules or 'worker' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_device_has_a_worker_and_all_stop_when_asked(tmp_path: Path) -> None:
    with fleet(tmp_path, "cpu=ready:obey", "cuda:1=ready:obey") as supervisor:
        read_until(supervisor, "up\n", "up\n")
        [first], [second] = started(tmp_path, "cpu"), started(tmp_path, "cuda:1")
        supervisor.send_signal(signal.SIGTERM)
        assert wait_until_gone(first)
        assert wait_until_gone(second)
        assert supervisor.wait(30) == 0
    assert len(started(tmp_path, "cpu")) == len(started(tmp_path, "cuda:1")) == 1


def test_a_worker_that_is_asked_to_stop_while_it_loads_has_stopped_well(tmp_path: Path) -> None:
    with fleet(tmp_path, "cpu=silent:wait") as supervisor:
        read_until(supervisor, "up\n")
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(30) == 0


def test_a_worker_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    with fleet(tmp_path, "cpu=ready:ignore") as supervisor:
        read_until(supervisor, "up\n")
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(30) == 1
        assert wait_until_gone(*started(tmp_path, "cpu"))


def test_a_second_signal_ends_the_patience(tmp_path: Path) -> None:
    with fleet(tmp_path, "cpu=ready:ignore") as supervisor:
        read_until(supervisor, "up\n")
        supervisor.send_signal(signal.SIGTERM)
        read_until(supervisor, "asked to stop")
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(30) != 0
        assert wait_until_gone(*started(tmp_path, "cpu"))


@pytest.mark.parametrize("then", ["obey", "ignore"])
def test_no_worker_outlives_a_supervisor_that_is_killed(tmp_path: Path, then: str) -> None:
    with fleet(tmp_path, f"cpu=ready:{then}") as supervisor:
        read_until(supervisor, "up\n")
        supervisor.kill()
        assert wait_until_gone(*started(tmp_path, "cpu"))


def test_a_worker_that_dies_is_started_again_and_its_neighbour_is_left_alone(tmp_path: Path) -> None:
    with fleet(tmp_path, "cpu=ready:obey", "cuda:1=ready:obey") as supervisor:
        read_until(supervisor, "up\n", "up\n")
        [victim] = started(tmp_path, "cpu")
        os.kill(victim, signal.SIGKILL)
        read_until(supervisor, "worker 1 on cpu ended with exit code -9; again in", "up\n")
        assert len(started(tmp_path, "cpu")) == 2
        assert len(started(tmp_path, "cuda:1")) == 1


def test_a_worker_that_was_ready_is_never_given_up(tmp_path: Path) -> None:
    with fleet(tmp_path, "cpu=ready:7") as supervisor:
        for _ in range(12):
            read_until(supervisor, "ended with exit code 7; again in")
        assert len(started(tmp_path, "cpu")) >= 12


def test_a_worker_that_keeps_dying_before_it_is_ready_is_given_up(tmp_path: Path) -> None:
    with fleet(tmp_path, "cpu=silent:7") as supervisor:
        said = read_until(supervisor, "no device is left")
        assert "worker 1 on cpu ended with exit code 7, 5 times before it was ready: it is given up" in said
        assert supervisor.wait(30) == 1
        assert len(started(tmp_path, "cpu")) == 5


def test_one_that_is_given_up_does_not_stop_the_others(tmp_path: Path) -> None:
    with fleet(tmp_path, "cpu=silent:7", "cuda:1=ready:obey") as supervisor:
        read_until(supervisor, "it is given up")
        [other] = started(tmp_path, "cuda:1")
        supervisor.send_signal(signal.SIGTERM)
        assert wait_until_gone(other)
        assert supervisor.wait(30) == 0


def test_where_every_worker_is_refused_nothing_is_tried_again(tmp_path: Path) -> None:
    with fleet(tmp_path, "cpu=silent:2", "cuda:1=silent:2") as supervisor:
        read_until(supervisor, "no device is left")
        assert supervisor.wait(30) == 2
        assert len(started(tmp_path, "cpu")) == len(started(tmp_path, "cuda:1")) == 1


def test_one_that_is_refused_is_tried_again_slowly_while_others_work(tmp_path: Path) -> None:
    with fleet(tmp_path, "cpu=silent:2", "cuda:1=ready:obey", refused_seconds=0.05) as supervisor:
        for _ in range(7):
            read_until(supervisor, "worker 1 on cpu is not fit to work")
        assert len(started(tmp_path, "cuda:1")) == 1


def test_the_processor_is_shared_among_the_workers_and_what_was_set_by_hand_stays(tmp_path: Path) -> None:
    assert shared(1, {}) == {
        "RESTYLE_MODEL_THREADS": str(cores()),
        "RESTYLE_CODEC_THREADS": str(cores()),
    }
    assert shared(1000, {}) == {"RESTYLE_MODEL_THREADS": "1", "RESTYLE_CODEC_THREADS": "1"}  # of less than one core
    assert shared(2, {"RESTYLE_MODEL_THREADS": "5"})["RESTYLE_MODEL_THREADS"] == "5"
    with fleet(tmp_path, "cpu=ready:obey", "cuda:1=ready:obey") as supervisor:
        read_until(supervisor, "up\n", "up\n")
    given = [path.read_text() for path in tmp_path.iterdir()]
    assert given == [str(min(cores() // 2 + 1, cores()))] * 2
