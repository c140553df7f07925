"""The workers of one machine: started, started again when they die, stopped together.

This process never loads torch or CUDA. The kernel ends the workers when it is killed itself (`restyle.leash`).
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from restyle.devices import Device
from restyle.exits import Exit
from restyle.processes import Child, environment, python_module
from restyle.restarts import CRASHES, Restarts
from restyle.signals import stopping_on_signals

POLL_SECONDS = 0.2
EXIT_UNFIT = 2  # of a worker that will not work as it is set up, or on this device
REFUSED_SECONDS = 60.0  # until such a device is tried again while others work: somebody may see to it
STOP_SECONDS = 10.0  # of a worker, beyond the batch on its device

Say = Callable[[str], None]


class Worker(Child):
    """`python -m worker` for one device. Its log goes where this process's own goes."""

    def __init__(self, name: str, device: Device, settings: Mapping[str, str]) -> None:
        env = environment({**settings, **device.settings})
        super().__init__(name, python_module("worker"), env=env, grace_seconds=_batch_seconds(env) + STOP_SECONDS)
        self._pipe: int | None = None
        self._ready = False

    def start(self) -> None:
        """Start it, or start it again after it ended."""
        self.close()
        self._ready = False
        self._pipe, its_end = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self.launch("--ready-fd", str(its_end), pass_fds=(its_end,))
        finally:
            os.close(its_end)

    @property
    def ready(self) -> bool:
        """Whether it has said, since its last start, that it claims work."""
        if not self._ready and self._pipe is not None:
            try:
                self._ready = os.read(self._pipe, 1) != b""
            except BlockingIOError:
                self._ready = False
        return self._ready

    def close(self) -> None:
        """Listen to it no more."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


@dataclass(slots=True, eq=False)
class Place:
    """A device's worker, and how it has fared."""

    worker: Worker
    restarts: Restarts
    lost: bool = False  # nothing runs here, and unless others do, nothing will
    given_up: bool = False  # for good


def run(devices: Sequence[Device], say: Say) -> Exit:
    """Keep a worker on each device, or as many as it is named for, until a signal asks to stop, or no device is left.

    Returns `SUCCEEDED` after a signal; `REFUSED` or `ERROR` where none is left, or a worker had to be killed.
    """
    workers = [Worker(name, device, shared(len(devices), os.environ)) for name, device in _names(devices)]
    try:
        with stopping_on_signals():
            try:
                return _supervise(workers, say)
            except KeyboardInterrupt:
                say("asked to stop: each worker ends the batch on its device")
                return _stop(workers)
    finally:
        for worker in workers:
            worker.kill()
            worker.close()


def check(devices: Sequence[Device], say: Say) -> Exit:
    """Ask for each device whether a worker could run on it, one after the other; they say why not themselves."""
    unfit = []
    for name, device in _names(devices):
        env = environment({**shared(len(devices), os.environ), **device.settings})
        if subprocess.run(python_module("worker", "--check"), env=env, check=False).returncode != 0:
            say(f"{name} could not run, as it says above")
            unfit.append(name)
    return Exit.REFUSED if unfit else Exit.SUCCEEDED


def shared(count: int, given: Mapping[str, str]) -> dict[str, str]:
    """Return the settings by which so many workers share the processor; what was set by hand stays.

    Each has one thread more than its share, so that a core is not idle while threads of its worker wait for the
    interpreter, nor when the others have nothing left to do.
    """
    from jobs.cores import cores  # here: the client loads nothing of `jobs`

    threads = str(min(cores() // count + 1, cores()))
    return {name: given.get(name, threads) for name in ("RESTYLE_MODEL_THREADS", "RESTYLE_CODEC_THREADS")}


def _batch_seconds(env: Mapping[str, str]) -> float:
    """Return how long the batch on a device may take."""
    try:
        return float(env["RESTYLE_ITEM_SECONDS"])
    except (KeyError, ValueError):  # what is no number, the worker refuses
        return 120.0


def _names(devices: Sequence[Device]) -> list[tuple[str, Device]]:
    return [(f"worker {number} on {device.name}", device) for number, device in enumerate(devices, 1)]


def _supervise(workers: Sequence[Worker], say: Say) -> Exit:
    """Start workers, and those again that die. Return when no device is left."""
    now = time.monotonic()
    places = [Place(worker, Restarts(now=now, healthy_seconds=math.inf)) for worker in workers]
    for place in places:
        place.worker.start()
        say(f"{place.worker.name} starts")
    while True:
        for place in places:
            _tend(place, say)
        if all(place.lost and place.worker.exit_code is not None for place in places):
            say("no device is left")
            return Exit.ERROR if all(place.given_up for place in places) else Exit.REFUSED
        time.sleep(POLL_SECONDS)


def _tend(place: Place, say: Say) -> None:
    worker, restarts = place.worker, place.restarts
    if worker.ready:  # also one that has died since
        restarts.ready()
        place.lost = False
    status = worker.exit_code
    if status is None or place.given_up:
        return
    now = time.monotonic()
    if restarts.start_again_at is None:
        pause = restarts.rest(REFUSED_SECONDS, now=now) if status == EXIT_UNFIT else restarts.died(now=now)
        place.lost = status == EXIT_UNFIT or pause is None
        place.given_up = pause is None
        if pause is None:
            say(f"{worker.name} ended with exit code {status}, {CRASHES} times before it was ready: it is given up")
        elif place.lost:
            say(f"{worker.name} is not fit to work, as it says above; the next try in {pause:.0f} s if others work")
        else:
            say(f"{worker.name} ended with exit code {status}; again in {pause:.1f} s")
    elif now >= restarts.start_again_at:
        worker.start()
        restarts.started(now=now)


def _stop(workers: Sequence[Worker]) -> Exit:
    """Pass the wish to stop on, once, and wait; a second signal ends the patience."""
    for worker in workers:
        worker.ask_to_stop()
    running = [worker for worker in workers if worker.exit_code is None]
    for worker in workers:
        worker.finish_stopping()
    # One that was still loading its libraries had nothing to end well, and SIGTERM itself ended it.
    well = (0, -signal.SIGTERM)
    return Exit.SUCCEEDED if all(worker.exit_code in well for worker in running) else Exit.ERROR
