"""What computes pictures: everything beside source and recipe that decides their bytes, and a digest of it.

Equal digests promise equal bytes for the same item and recipe, on any worker.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch

from jobs.cards import Card
from jobs.recipes import sha256_of
from worker.images.versions import versions
from worker.precision import precision_of

DIGEST_CHARACTERS = 16
CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A model on a class of devices. Workers with equal engines may work on one job, and nobody can tell."""

    device: str  # the class: of a GPU the product's name, of a CPU its model's
    instructions: str  # that torch uses of it: AVX512 and the like, of a GPU its compute capability
    torch: str  # version, with the platform that it was built for
    model: str
    model_version: str
    weights_sha256: str | None  # None of a model that learns nothing
    dtype: str  # in which the model computes
    compile_mode: str | None  # None: not compiled
    codecs: dict[str, str]  # versions by library
    then: Sequence[Mapping[str, Any]] = ()  # the further models of a cascade
    mask: Mapping[str, Any] | None = None  # the model that finds the product, and what runs it

    @property
    def facts(self) -> dict[str, Any]:
        """What the digest stands for, as JSON. Where there is one model only, nothing is said of others."""
        return {name: value for name, value in asdict(self).items() if name not in ("then", "mask") or value}

    @cached_property
    def digest(self) -> str:
        """The beginning of the sha256 of the facts' canonical JSON, in hex."""
        return sha256_of(self.facts)[:DIGEST_CHARACTERS]


def engine_of(
    device: torch.device,
    card: Card,
    *,
    then: Sequence[Card] = (),
    mask: Card | None = None,
    compile_mode: str | None = None,
) -> Engine:
    """Return the engine that a model is on a device of this machine.

    `then`: the further models of a cascade; `mask`: the one that finds the product. `compile_mode`: of those that are
    compiled.
    """
    name, instructions = device_class(device)
    return Engine(
        device=name,
        instructions=instructions,
        torch=str(torch.__version__),
        model=card.name,
        model_version=card.version,
        weights_sha256=card.weights_sha256,
        dtype=str(precision_of(card, device)).removeprefix("torch."),
        compile_mode=compile_mode,
        codecs=versions(),
        then=[_model(each) for each in then],
        mask=_model(mask) | {"onnxruntime": importlib.metadata.version("onnxruntime")} if mask else None,
    )


def device_class(device: torch.device) -> tuple[str, str]:
    """Return the name of the class that a device is of, and the instructions that torch uses of it."""
    return _cuda_class(device) if device.type == "cuda" else (_cpu_name(), _cpu_instructions())


def _model(card: Card) -> dict[str, Any]:
    return {"model": card.name, "model_version": card.version, "weights_sha256": card.weights_sha256}


def _cuda_class(device: torch.device) -> tuple[str, str]:
    major, minor = torch.cuda.get_device_capability(device)
    return torch.cuda.get_device_name(device), f"sm_{major}{minor}"


def _cpu_instructions() -> str:
    return str(torch.backends.cpu.get_cpu_capability())


@cache
def _cpu_name() -> str:
    """Return the model name of the processor, as the kernel says it; elsewhere its architecture."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
