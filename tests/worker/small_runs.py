"""Small runs of training, as the tests of several objectives set them up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from worker.training.config import RunConfig, parse_config
from worker.training.loop import Watcher
from worker.training.objectives import Objective
from worker.training.runs import run


def shrunk(
    monkeypatch: pytest.MonkeyPatch, objective: type[Objective], *, side_px: int, probe_examples: int
) -> Iterator[None]:
    """For a fixture: an objective of small photos. What a run sets for the whole process is put back."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(objective, "side_px", side_px)
    monkeypatch.setattr(objective, "probe_examples", probe_examples)
    yield
    torch.set_num_threads(threads)


def small_config(photos: str, **given: Any) -> RunConfig:
    """Return a run that ends with its sample sheet."""
    usual = {
        "name": "small",
        "licence": "CC0-1.0",
        "batch": 4,
        "warm_up": 5,
        "ema": 0.9,
        "checkpoint_every": 50,
        "held_out_every": 6,
        "threads": 1,
        "device": "cpu",
    }
    return parse_config({**usual, "photos": [photos], "sample_every": given["iterations"], **given})


def check_that_it_goes_on(config: RunConfig, folder: Path) -> None:
    """See that a run which is stopped, and goes on, ends with the weights of one that is not."""
    assert run(config, folder / "straight", watcher=Watcher(), command="") is not None
    stopped = Watcher(stop=iter([False, False, True]).__next__)
    assert run(config, folder / "stopped", watcher=stopped, command="") is None
    assert run(config, folder / "stopped", watcher=Watcher(), command="") is not None
    straight, again = ((folder / name / "weights.safetensors").read_bytes() for name in ("straight", "stopped"))
    assert straight == again
