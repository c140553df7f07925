"""Which devices a list names, with a stand-in for the program that knows the GPUs of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.cores import cores
from restyle.devices import devices_of

GPU_0, GPU_1 = "GPU-5fb0ef2b-6e4d-4b1c-9f0e-000000000000", "GPU-5fb0ef2b-6e4d-4b1c-9f0e-000000000001"
SLICE_0, SLICE_1 = "MIG-1f9f9e5c-4c2a-5a3d-8b6e-000000000000", "MIG-GPU-5fb0ef2b-6e4d-4b1c-9f0e-000000000000/2/0"
WHOLE = f"""\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: {GPU_0})
GPU 1: NVIDIA H100 80GB HBM3 (UUID: {GPU_1})
"""
SLICED = f"""\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: {GPU_0})
  MIG 3g.20gb     Device  0: (UUID: {SLICE_0})
  MIG 1c.3g.20gb  Device  1: (UUID: {SLICE_1})
GPU 1: NVIDIA A100-SXM4-40GB (UUID: {GPU_1})
"""


def machine(folder: Path, says: str, status: int = 0) -> dict[str, str]:
    """Return an environment in which `nvidia-smi -L` says so."""
    (folder / "said").write_text(says)
    program = folder / "nvidia-smi"
    program.write_text(f'#!/bin/sh\n[ "$1" = -L ] || exit 99\n/bin/cat {folder}/said\nexit {status}\n')
    program.chmod(0o755)
    return {"PATH": str(folder)}


def names(text: str, environment: dict[str, str]) -> list[str]:
    return [device.name for device in devices_of(text, environment)]


def test_all_are_the_gpus_each_alone_in_its_workers_eyes(tmp_path: Path) -> None:
    found = devices_of("all", machine(tmp_path, WHOLE))
    assert [device.name for device in found] == [GPU_0, GPU_1]
    assert found[1].settings == {"RESTYLE_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": GPU_1}


def test_a_gpu_in_slices_is_its_slices(tmp_path: Path) -> None:
    assert names("all", machine(tmp_path, SLICED)) == [SLICE_0, SLICE_1, GPU_1]
    last_sliced = SLICED.splitlines(keepends=True)
    assert names("all", machine(tmp_path, "".join([last_sliced[3], *last_sliced[:3]]))) == [GPU_1, SLICE_0, SLICE_1]


@pytest.mark.parametrize(
    "environment", [{"PATH": "/nowhere"}, {"CUDA_VISIBLE_DEVICES": ""}, {"CUDA_VISIBLE_DEVICES": "-1"}], ids=str
)
def test_without_a_gpu_all_is_every_core_of_the_processor(environment: dict[str, str]) -> None:
    found = devices_of("all", environment)
    assert [device.name for device in found] == ["cpu"] * cores()
    assert all(device.settings == {"RESTYLE_DEVICE": "cpu"} for device in found)


def test_a_driver_without_devices_is_a_machine_without_gpus(tmp_path: Path) -> None:
    assert names("all", machine(tmp_path, "No devices found.\n", 6)) == ["cpu"] * cores()


def test_a_broken_driver_is_no_machine_without_gpus(tmp_path: Path) -> None:
    said = "Failed to initialize NVML: Driver/library version mismatch"
    with pytest.raises(ValueError, match=rf"nvidia-smi -L ended with 18: {said}"):
        devices_of("all", machine(tmp_path, said, 18))


def test_what_the_environment_hides_is_not_used(tmp_path: Path) -> None:
    environment = machine(tmp_path, WHOLE) | {"CUDA_VISIBLE_DEVICES": f"3, {SLICE_0},-1,0"}
    found = devices_of("all", environment)
    assert [device.settings["CUDA_VISIBLE_DEVICES"] for device in found] == ["3", SLICE_0]


def test_devices_can_be_named_one_by_one(tmp_path: Path) -> None:
    found = devices_of(f"cpu, cuda:1,{SLICE_1},cpu,cuda", {})
    assert [dict(device.settings) for device in found] == [
        {"RESTYLE_DEVICE": "cpu"},
        {"RESTYLE_DEVICE": "cuda:1"},
        {"RESTYLE_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": SLICE_1},
        {"RESTYLE_DEVICE": "cpu"},
        {"RESTYLE_DEVICE": "cuda"},
    ]


@pytest.mark.parametrize("text", ["", "cpu,", "gpu", "cuda:x", "tpu:0", "cuda:0 cuda:1"])
def test_what_is_no_device_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no device: give all, cpu"):
        devices_of(text, {})


def test_a_device_that_is_named_twice_has_two_workers(tmp_path: Path) -> None:
    assert names("cuda:0,cpu,cuda:0", {}) == ["cuda:0", "cpu", "cuda:0"]
    assert names(f"all,{GPU_0}", machine(tmp_path, WHOLE)) == [GPU_0, GPU_1, GPU_0]
