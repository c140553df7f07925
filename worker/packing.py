"""Weights made small for the file, and made whole again when they are read. Networks compute with float32 as ever.

`name` holds a tensor as it is, or in half precision. `name:int8` and `name:scale` hold whole numbers and what one of
them is worth, for each output channel. `name:kept` (one bit for each place) and `name:values` hold what is not zero,
`name:shape` of what. Names of parameters hold no colon.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Form = Literal["half", "int8", "sparse"]

LEVELS = 127


def packed(weights: Mapping[str, Tensor], form: Form) -> dict[str, Tensor]:
    """Return weights in a smaller form. Vectors, such as biases, are few, and stay as precise as half a float is.

    half: float16, a half of the bytes. int8: about a quarter, of matrices and convolutions. sparse: without zeros,
    which saves their bytes, less one bit for each place.
    """
    if form == "half":
        return {name: tensor.to(torch.float16) for name, tensor in weights.items()}
    result: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if tensor.ndim < 2:
            result[name] = tensor.to(torch.float16) if form == "int8" else tensor
        else:
            parts = _quantised(tensor) if form == "int8" else _sparse(tensor)
            result |= {f"{name}:{part}": value.contiguous() for part, value in parts.items()}
    return result


def unpacked(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as a network takes them, float32, whatever form they have.

    Raises:
        ValueError: parts are missing or do not fit.

    """
    result: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        whole, _, part = name.partition(":")
        try:
            if not part:
                result[name] = tensor.float() if tensor.is_floating_point() else tensor
            elif part == "int8":
                result[whole] = tensor.float() * weights[f"{whole}:scale"].view(-1, *[1] * (tensor.ndim - 1))
            elif part == "values":
                result[whole] = _dense(tensor, weights[f"{whole}:kept"], weights[f"{whole}:shape"])
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"the packed weights of {whole} do not fit together: {error}") from error
    return result


def _quantised(tensor: Tensor) -> dict[str, Tensor]:
    """Round to whole numbers, symmetrically, with a scale for each output channel."""
    rows = tensor.float().flatten(1)
    scale = rows.abs().amax(1).clamp(min=1e-12) / LEVELS
    numbers = (rows / scale[:, None]).round().clamp(-LEVELS, LEVELS).to(torch.int8)
    return {"int8": numbers.view_as(tensor), "scale": scale}


def _sparse(tensor: Tensor) -> dict[str, Tensor]:
    flat = tensor.flatten()
    bits = np.packbits((flat != 0).numpy())
    return {
        "kept": torch.from_numpy(bits),
        "values": flat[flat != 0],
        "shape": torch.tensor(tensor.shape, dtype=torch.int64),
    }


def _dense(values: Tensor, kept: Tensor, shape: Tensor) -> Tensor:
    size = [int(edge) for edge in shape]
    places = torch.from_numpy(np.unpackbits(kept.numpy(), count=math.prod(size)).astype(bool))
    whole = torch.zeros(math.prod(size))
    whole[places] = values.float()
    return whole.view(size)
