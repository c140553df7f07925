"""The device that this process runs models on."""

from __future__ import annotations

import torch


def resolve(name: str) -> torch.device:
    """Return the device that a setting names.

    Raises:
        ValueError: the name means nothing, or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"RESTYLE_DEVICE is {name!r}: give cpu, cuda, cuda:N or auto") from error
    count = torch.cuda.device_count() if device.type == "cuda" else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ValueError(f"RESTYLE_DEVICE is {name!r}: this machine has {count} CUDA devices; give one of them, or cpu")
    return device
