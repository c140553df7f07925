"""In which number format a network computes: the one that its card allows, where the device has instructions for it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from jobs.cards import Card

CPUINFO = Path("/proc/cpuinfo")
INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16"})  # of bfloat16; without them it is slower than float32
LEAST_CAPABILITY = (8, 0)  # of a GPU that has them


def precision_of(card: Card, device: torch.device) -> torch.dtype:
    """Return the format: bfloat16 or float32."""
    return torch.bfloat16 if card.precision == "bfloat16" and _computes_bfloat16(device) else torch.float32


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY
    return not INSTRUCTIONS.isdisjoint(_flags())


@cache
def _flags() -> frozenset[str]:
    """Return what the processor can do, in the kernel's words; elsewhere nothing."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(word for line in lines if line.startswith("flags") for word in line.split())
