"""Has networks compiled (`torch.compile`), and keeps what came of it for the next worker.

Compiled are only networks that see one shape, whatever the picture: one kernel each, however long the worker runs. A
change of shape would compile again in the middle of a job, or silently not at all.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

MODE = "default"  # of torch.compile


@runtime_checkable
class Compilable(Protocol):
    """A pipeline with networks that always see one shape."""

    def compile(self) -> None:
        """Let these networks be compiled when they run for the first time."""
        ...


def compile_into(folder: Path, pipeline: Compilable, device: str, weights_sha256: str | None) -> None:
    """Let a pipeline's networks be compiled when they run next, or be found in `folder` by an equal worker.

    Kernels are kept apart by `device` (the class that engines name), torch and weights. The process has one such place
    at a time: run the pipeline before another one is compiled.
    """
    import torch._dynamo.config as dynamo  # here: it takes a second, and few compile

    key = hashlib.sha256(f"{device}\n{torch.__version__}\n{weights_sha256}".encode()).hexdigest()[:16]
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / key)
    dynamo.fail_on_recompile_limit_hit = True  # instead of going on uncompiled, with other bytes
    pipeline.compile()
