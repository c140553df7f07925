"""The device that streams are measured with: a stand-in for a model, for this system and its peers alike."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import Any

MILLISECONDS = {"slow": 20.0, "fast": 2.0}  # of a picture: as diffusion in a few steps, as a network in one
SIDE = 4096  # of the matrices that keep a CUDA device busy


def occupy(pictures: int) -> None:
    """Take as long as a model would for so many pictures.

    BENCH_MILLISECONDS names a file with the milliseconds of one picture, which may change between runs. A CPU holds no
    core meanwhile: it sleeps. With BENCH_CUDA the device multiplies matrices for so long.
    """
    seconds = pictures * float(Path(os.environ["BENCH_MILLISECONDS"]).read_text()) / 1000
    if os.environ.get("BENCH_CUDA"):
        _multiply(seconds)
    elif seconds:
        time.sleep(seconds)


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
