"""Writes what a run has learned: a folder with the weights and the card that says where they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from jobs.cards import Card
from jobs.trainings import Training
from worker.packing import packed
from worker.training.loop import Trained
from worker.training.objectives import Told
from worker.training.photos import PhotoSet
from worker.training.references import References
from worker.training.starting import Start, model_of
from worker.training.state import replace_file


def write_model(folder: Path, weights: Mapping[str, Tensor], card: Mapping[str, Any]) -> Card:
    """Write weights.safetensors and model.json into the folder, and return the card, now with the weights' digest."""
    folder.mkdir(parents=True, exist_ok=True)
    content = save({name: value.detach().cpu().contiguous() for name, value in weights.items()}, {"format": "pt"})
    whole = Card.model_validate({**card, "weights_sha256": hashlib.sha256(content).hexdigest()})
    replace_file(folder / "weights.safetensors", content)
    text = json.dumps(whole.model_dump(mode="json"), indent=2, ensure_ascii=False)
    replace_file(folder / "model.json", f"{text}\n".encode())
    return whole


def write_trained(
    folder: Path,
    trained: Trained,
    training: Training,
    photos: PhotoSet,
    start: Start,
    *,
    name: str,
    command: str,
    device: str,
) -> Card:
    """Write the model of a run that has ended. `command` and `device` are for the card."""
    weights = model_of(trained.network, start.objective).state_dict()
    if training.sparsity is not None:
        weights = packed(weights, "sparse")
    elif training.weights != "float32":
        weights = packed(weights, "half" if training.weights == "float16" else "int8")
    config = start.sizes(training)
    card = {
        **start.objective.card,
        "parameters": {
            **start.objective.card.get("parameters", {}),
            **(start.objective.parameters(config.get("attributes", {})) if isinstance(start.objective, Told) else {}),
        },
        "name": name,
        "version": "1",
        "architecture": start.objective.architecture,
        "config": config,
        "licence": "MIT" if start.card is None else start.card.licence,
        "training": {
            "command": command,
            # Without start_from, which may be a path: cards name no machine.
            "settings": training.model_dump(
                mode="json", include=set(Training.model_fields), exclude={"start_from"}, exclude_defaults=True
            ),
            "seed": training.seed,
            "iterations": trained.progress.iteration,
            "batch": training.batch,
            "photos": {"count": len(photos), "sha256": photos.digest, "licence": training.licence},
            **({} if start.references is None else {"references": _told(start.references)}),
            "seconds": round(trained.progress.seconds),
            "device": device,
            "torch": torch.__version__,
            **({} if start.card is None else {"started_from": origin(start.card)}),
        },
        "metrics": {name: round(value, 3) for name, value in trained.metrics.items()},
    }
    return write_model(folder, weights, card)


def _told(references: References) -> dict[str, Any]:
    return {"names": list(references.names), "sha256": references.digest}


def origin(card: Card) -> dict[str, Any]:
    """Return what tells which model another was made from."""
    return {"name": card.name, "version": card.version, "weights_sha256": card.weights_sha256}
