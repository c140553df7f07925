"""The devices of this machine, and who works on them. They are found without CUDA, which only the workers may load."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

NVIDIA_SMI = "nvidia-smi"
NVIDIA_SMI_SECONDS = 60.0  # it starts a driver that nobody uses
NO_DEVICES = "No devices"
GPU_LINE = re.compile(r"GPU \d+: .* \(UUID: (GPU-[^)]+)\)")
SLICE_LINE = re.compile(r"\s+MIG .* \(UUID: (MIG-[^)]+)\)")
INDEX = re.compile(r"cuda(:\d+)?")
UUID = re.compile(r"(GPU|MIG)-[\w/-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device and the environment variables that make a worker run on it and see no other."""

    name: str
    settings: Mapping[str, str]


def devices_of(text: str, environment: Mapping[str, str]) -> list[Device]:
    """Return the devices that a list with commas names, once for each worker that it asks for.

    `all` is every GPU, of a GPU in slices (MIG) each slice instead; where there is none, the processor, once for each
    core. What `CUDA_VISIBLE_DEVICES` in the environment hides is as good as absent.

    Raises:
        ValueError: a name means nothing, or nobody can say which GPUs there are.

    """
    return [device for name in text.split(",") for device in _named(name.strip(), environment)]


def _named(name: str, environment: Mapping[str, str]) -> Sequence[Device]:
    if name == "all":
        from jobs.cores import cores  # here: the client loads nothing of `jobs`

        gpus = list(_gpus(environment))
        return [_by_uuid(gpu) for gpu in gpus] or [_cpu()] * cores()
    if name == "cpu":
        return [_cpu()]
    if INDEX.fullmatch(name):
        return [Device(name=name, settings={"RESTYLE_DEVICE": name})]
    if UUID.fullmatch(name):
        return [_by_uuid(name)]
    raise ValueError(f"{name!r} is no device: give all, cpu, cuda:N, GPU-… or MIG-… (see nvidia-smi -L), with commas")


def _cpu() -> Device:
    return Device(name="cpu", settings={"RESTYLE_DEVICE": "cpu"})


def _by_uuid(name: str) -> Device:
    # The only one that the worker sees is the first to it. A slice can be named in no other way.
    return Device(name=name, settings={"RESTYLE_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": name})


def _gpus(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what `CUDA_VISIBLE_DEVICES` may say of each GPU or slice: its number or its UUID."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:  # what stands behind -1, CUDA does not see either
        yield from takewhile(lambda name: name not in ("", "-1"), map(str.strip, visible.split(",")))
        return
    gpu: str | None = None
    for line in _listed(environment):
        if found := GPU_LINE.match(line):
            if gpu is not None:
                yield gpu
            gpu = found[1]
        elif found := SLICE_LINE.match(line):
            gpu = None  # as a whole it cannot be used
            yield found[1]
    if gpu is not None:
        yield gpu


def _listed(environment: Mapping[str, str]) -> Sequence[str]:
    program = shutil.which(NVIDIA_SMI, path=environment.get("PATH"))
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=NVIDIA_SMI_SECONDS, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"{program} -L does not say which GPUs there are: {error}") from error
    said = (done.stdout + done.stderr).strip()
    if NO_DEVICES in said:
        return []
    if done.returncode != 0:  # a driver that is broken must not look like a machine without GPUs
        raise ValueError(f"{program} -L ended with {done.returncode}: {said}")
    return done.stdout.splitlines()
