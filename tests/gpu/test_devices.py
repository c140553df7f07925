"""GPUs as devices: found without CUDA, fit to work, told by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jobs.cards import CardShelf
from restyle.devices import devices_of
from worker import fitness
from worker.engine import engine_of
from worker.fitness import Unfit, check
from worker.settings import WorkerSettings


def settings(folder: Path) -> WorkerSettings:
    return WorkerSettings(device="cuda:0", storage_url=f"file://{folder}/storage", memory_mb=256)


@pytest.mark.usefixtures("device")
def test_the_program_that_lists_gpus_and_cuda_agree() -> None:
    if shutil.which("nvidia-smi") is None:
        pytest.skip("this machine has no nvidia-smi")
    assert len(devices_of("all", os.environ)) == torch.cuda.device_count()


@pytest.mark.usefixtures("device")
def test_a_gpu_with_memory_is_fit_and_one_without_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(settings(tmp_path)) == torch.device("cuda:0")
    monkeypatch.setattr(fitness, "FREE_DEVICE_BYTES", 1 << 50)
    with pytest.raises(Unfit, match=r"RESTYLE_DEVICE is 'cuda:0': \d+ MiB of its memory are free"):
        check(settings(tmp_path))


def test_an_engine_names_the_gpu_and_not_the_processor(device: torch.device) -> None:
    engine = engine_of(device, CardShelf().get("reference-grade"))
    assert engine.device == torch.cuda.get_device_name(device)
    assert engine.instructions.startswith("sm_")
    assert engine.threads is None


@pytest.mark.usefixtures("device")
def test_a_worker_could_run_on_each_gpu(tmp_path: Path) -> None:
    env = os.environ | {"RESTYLE_STORAGE_URL": f"file://{tmp_path}/storage", "RESTYLE_MEMORY_MB": "256"}
    command = [sys.executable, "-m", "restyle", "worker", "--devices", "all", "--check"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("fit to work: cuda:0\n") == len(devices_of("all", os.environ))
