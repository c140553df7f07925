"""Training on the device: the objective is followed there, in mixed precision too, and goes on from a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.worker.test_training_loop import config, curve, train
from tests.worker.test_training_loop import folder as folder


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_goes_on_where_it_was_stopped(device: torch.device, folder: Path, tmp_path: Path, precision: str) -> None:
    given = config(folder, device=str(device), precision=precision)
    assert train(given, tmp_path / "stopped", until=12) is None
    assert train(given, tmp_path / "stopped") is not None
    assert train(given, tmp_path / "straight") is not None
    for stopped, straight in zip(curve(tmp_path / "stopped"), curve(tmp_path / "straight"), strict=True):
        # Sums on a GPU may come in another order from run to run: near, not equal to the byte as on a CPU.
        assert stopped["loss"] == pytest.approx(straight["loss"], rel=0.05)


def test_a_share_of_the_weights_is_dropped_on_the_device(device: torch.device, folder: Path, tmp_path: Path) -> None:
    assert train(config(folder, device=str(device)), tmp_path / "first") is not None
    start = str(tmp_path / "first")
    given = config(folder, device=str(device), start_from=start, network=None, sparsity=0.5, patience=3, augment=True)
    assert train(given, tmp_path / "sparse") is not None
