"""Makes a lighter model of another: half precision or 8-bit weights, with size, speed and quality beside the original.

The networks compute with float32 either way: what gets smaller is the file, and what a worker fetches and keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from jobs.cards import Card
from jobs.errors import InvalidRequest, Problem
from worker.checkpoints import read_model
from worker.packing import packed
from worker.training.evaluating import evaluate
from worker.training.models import origin, write_model

PAIRS = 40


def lighten(
    source: Path, out: Path, *, name: str, form: Literal["half", "int8"], photos: Sequence[Tensor], command: str
) -> Card:
    """Write a lighter model into a folder, and return its card.

    Raises:
        InvalidRequest: the model learns nothing, or the folder holds one already.

    """
    original = read_model(source)
    if not original.weights:
        raise InvalidRequest(Problem(field="model", value=str(source), remedy="choose one that has weights"))
    if (out / "model.json").exists():
        raise InvalidRequest(Problem(field="out", value=str(out), remedy="choose another folder: this holds a model"))
    card = original.card.model_dump(mode="json")
    card |= {
        "name": name,
        "training": {
            "command": command,
            "made_from": origin(original.card),
            "torch": torch.__version__,
        },
        "metrics": {},
    }
    write_model(out, packed(original.weights, form), card)
    return measure_beside(source, out, photos)


def measure_beside(source: Path, out: Path, photos: Sequence[Tensor]) -> Card:
    """Write into the card of a model how it does beside the one that it was made from, and return it."""
    models = {"original": read_model(source), "lighter": read_model(out)}
    metrics = evaluate(models, photos, PAIRS)
    for key, folder in (("original", source), ("lighter", out)):
        metrics[f"{key}_weights_bytes"] = (folder / "weights.safetensors").stat().st_size
    card = models["lighter"].card.model_dump(mode="json")
    card["metrics"] = {**card["metrics"], **metrics}
    packed_weights = _stored(out)
    return write_model(out, packed_weights, card)


def _stored(folder: Path) -> dict[str, Tensor]:
    """Return the weights as they lie in the file."""
    from safetensors.torch import load_file

    return load_file(folder / "weights.safetensors")
