"""The device that streams are measured with: a stand-in for a model, for this system and its peers alike."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MILLISECONDS = {"slow": 20.0, "fast": 2.0}  # of a picture: as diffusion in a few steps, as a network in one
NUMBER = struct.Struct("d")
_ONE = threading.Lock()  # one batch at a time, however many threads have one; for processes, see `_taken`
SIDE = 4096  # of the matrices that keep a CUDA device busy


def set_milliseconds(path: Path, milliseconds: float) -> None:
    """Let the device take so long for a picture from now on, in all processes whose BENCH_MILLISECONDS is this path."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(NUMBER.pack(milliseconds))


def milliseconds() -> float:
    """Return how long the device takes for a picture."""
    return float(NUMBER.unpack_from(_mapped(os.environ["BENCH_MILLISECONDS"]))[0])


def occupy(pictures: int) -> None:
    """Take as long as a model would for so many pictures.

    A CPU holds no core meanwhile: it sleeps. With BENCH_CUDA the device multiplies matrices for so long. Nothing else
    here lets the interpreter's lock go: whoever shares the process would hold the device up.
    """
    seconds = pictures * milliseconds() / 1000
    with _ONE, _taken():
        if os.environ.get("BENCH_CUDA"):
            _multiply(seconds)
        else:
            time.sleep(seconds)


@contextlib.contextmanager
def _taken() -> Iterator[None]:
    """Keep all other processes from the device."""
    file = _opened(os.environ["BENCH_MILLISECONDS"])
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


@functools.cache
def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY)


@functools.cache
def _mapped(path: str) -> mmap.mmap:
    with Path(path).open("rb") as file:
        return mmap.mmap(file.fileno(), NUMBER.size, access=mmap.ACCESS_READ)


def _multiply(seconds: float) -> None:
    import torch

    matrix, until = _matrix(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        matrix @ matrix
        torch.cuda.current_stream().synchronize()  # what others do on the device is not waited for


@functools.cache
def _matrix() -> Any:
    import torch

    return torch.zeros((SIDE, SIDE), dtype=torch.bfloat16, device="cuda")
