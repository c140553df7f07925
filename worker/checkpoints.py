"""Loads models: reads a card, proves that the weights are the ones it names, builds the pipeline.

Only safetensors are read, and ONNX files by `worker.segmenter`: a pickle could run code. An architecture is one line of
the tables below.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from jobs.cards import Card, CardShelf
from jobs.errors import CheckpointMismatch
from worker.large_models import ARCHITECTURE, folder_of, weights_bytes
from worker.packing import unpacked
from worker.pipelines import (
    any_painting,
    cycle_gan,
    diffusion,
    gan,
    inpainting,
    painter,
    pix2pix,
    reference_grade,
    style_gan,
    super_resolution,
    vae,
)
from worker.pipelines.base import GeneratingPipeline, Pipeline
from worker.pipelines.monge_kantorovich import MongeKantorovich
from worker.pipelines.reinhard import Reinhard
from worker.pipelines.unchanged import Unchanged
from worker.precision import precision_of

# Architectures that learn: built from a card's config, the weights and a device; some take a `dtype`, too.
NETWORKS: dict[str, Callable[..., Pipeline]] = {
    "any_painting": any_painting.load,
    "cycle_gan": cycle_gan.load,
    "inpainting": inpainting.load,
    "painter": painter.load,
    "pix2pix": pix2pix.load,
    "reference_grade": reference_grade.load,
    "super_resolution": super_resolution.load,
}
# Architectures that make pictures out of words.
GENERATING: dict[str, Callable[[Mapping[str, Any], Mapping[str, Tensor], torch.device], GeneratingPipeline]] = {
    "diffusion": diffusion.load,
    "gan": gan.load,
    "growing_gan": gan.load_grown,
    "style_gan": style_gan.load,
    "vae": vae.load,
}
# The architectures of models that describe: pictures (`worker.pipelines.attribute_reader`), and what sentences ask for
# (`worker.sentences`).
READING, SENTENCES = "attribute_reader", "sentence_reader"
STARTING = ("vq_vae",)  # architectures that nothing runs: others are trained from them
# Architectures that are a formula.
FORMULAS: dict[str, Callable[[torch.device], Pipeline]] = {
    "monge_kantorovich": MongeKantorovich,
    "reinhard": Reinhard,
    "unchanged": lambda _: Unchanged(),
}
ONNX = "onnx"  # the architecture of all models that segment: their file says what is computed


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model in memory, proven to be the one that its card names."""

    card: Card
    weights: Mapping[str, Tensor]  # of a formula: none
    folder: Path | None = None  # of a large model, whose files are read when it is built

    @property
    def bytes(self) -> int:
        """What its weights take."""
        if self.folder is not None:
            return weights_bytes(self.folder)
        return sum(tensor.nbytes for tensor in self.weights.values())


def load_pipeline(shelf: CardShelf, name: str, device: torch.device) -> Pipeline:
    """Return the pipeline of a model, ready on the device. Raises as `read_checkpoint` and `build` do."""
    return build(read_checkpoint(shelf, name), device)


def read_checkpoint(shelf: CardShelf, name: str) -> Checkpoint:
    """Read a model's card and weights.

    Raises:
        InvalidRequest: the shelf has no model of this name.
        CheckpointMismatch: it segments; or the weights are missing, are not the ones that the card names, or nothing
            here runs them.

    """
    return _read(shelf.get(name), shelf.folder / name)


def read_network(shelf: CardShelf, name: str) -> bytes:
    """Read the ONNX file of a model that segments.

    Raises:
        InvalidRequest: the shelf has no model of this name, or it segments nothing.
        CheckpointMismatch: the file is missing, or is not the one that the card names.

    """
    card = shelf.get(name, operation="segment")
    _check_architecture(card)
    return _read_proven(card, shelf.folder / name / card.weights_file)


def read_model(folder: Path) -> Checkpoint:
    """Read the model that lies in a folder.

    Raises:
        CheckpointMismatch: as above, or the card cannot be read.

    """
    try:
        card = Card.model_validate_json((folder / "model.json").read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointMismatch(f"{folder / 'model.json'} is no model card: {error}") from error
    return _read(card, folder)


def _read(card: Card, folder: Path) -> Checkpoint:
    if card.architecture in FORMULAS:
        return Checkpoint(card=card, weights={})
    _check_architecture(card)
    if card.architecture == ARCHITECTURE:
        return Checkpoint(card=card, weights={}, folder=folder_of(card, folder))
    if card.operation == "segment":
        raise CheckpointMismatch(f"{card.name} is there to segment, not to restyle or to make pictures")
    return Checkpoint(card=card, weights=_read_weights(card, folder / card.weights_file))


def build(checkpoint: Checkpoint, device: torch.device) -> Pipeline:
    """Return the pipeline of a model, ready on the device.

    Raises:
        CheckpointMismatch: the weights do not fit the card's config.

    """
    card = checkpoint.card
    if card.architecture in FORMULAS:
        return FORMULAS[card.architecture](device)
    if card.architecture == ARCHITECTURE:
        large: Pipeline = _build_large(checkpoint, device)
        return large
    if card.architecture not in NETWORKS:
        raise CheckpointMismatch(f"{card.name} is there to {card.operation}, not to restyle")
    dtype = precision_of(card, device)
    given = {} if dtype is torch.float32 else {"dtype": dtype}  # not every architecture takes another
    try:
        return NETWORKS[card.architecture](card.config, checkpoint.weights, device, **given)
    except (RuntimeError, TypeError) as error:  # what a strict load, and a constructor, say of what does not fit
        raise CheckpointMismatch(f"{card.name}: weights, config and architecture do not fit: {error}") from error


def build_generating(checkpoint: Checkpoint, device: torch.device) -> GeneratingPipeline:
    """Return the pipeline of a model that makes pictures, ready on the device.

    Raises:
        CheckpointMismatch: the model makes none, or the weights do not fit the card's config.

    """
    card = checkpoint.card
    if card.architecture == ARCHITECTURE:
        large: GeneratingPipeline = _build_large(checkpoint, device)
        return large
    if card.architecture not in GENERATING:
        raise CheckpointMismatch(
            f"{card.name} makes no pictures: {card.architecture} is none of {', '.join(GENERATING)}"
        )
    try:
        return GENERATING[card.architecture](card.config, checkpoint.weights, device)
    except (RuntimeError, TypeError) as error:
        raise CheckpointMismatch(f"{card.name}: weights, config and architecture do not fit: {error}") from error


def _build_large(checkpoint: Checkpoint, device: torch.device) -> Any:
    card = checkpoint.card
    assert checkpoint.folder is not None
    try:
        from worker.pipelines import large  # here: it takes seconds, and belongs to an extra
    except ImportError as error:
        raise CheckpointMismatch(f"{card.name} needs the extra `large`: {error}") from error
    try:
        return large.load(card.operation, card.config, checkpoint.folder, device, precision_of(card, device))
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointMismatch(f"{card.name}: its files are no pipeline to {card.operation}: {error}") from error


def prove_weights(shelf: CardShelf, name: str) -> None:
    """Prove that a model's weights are those that its card names, without loading them.

    Raises:
        CheckpointMismatch: they are missing or others, or this worker does not know the architecture.

    """
    card = shelf.get(name)
    if card.architecture in FORMULAS:
        return
    _check_architecture(card)
    if card.architecture == ARCHITECTURE:
        folder_of(card, shelf.folder / name)
        return
    path = shelf.folder / name / card.weights_file
    _check_present(card, path)
    with path.open("rb") as file:
        _check_digest(card, path, hashlib.file_digest(file, "sha256").hexdigest())


def _read_proven(card: Card, path: Path) -> bytes:
    """Return a file, once its digest is that of the card."""
    _check_present(card, path)
    content = path.read_bytes()  # read once: what is hashed is what is loaded
    _check_digest(card, path, hashlib.sha256(content).hexdigest())
    return content


def _read_weights(card: Card, path: Path) -> dict[str, Tensor]:
    content = _read_proven(card, path)
    try:
        return unpacked(load_tensors(content))
    except (SafetensorError, ValueError) as error:
        raise CheckpointMismatch(f"{path} is not safetensors that can be read here: {error}") from error


def _check_architecture(card: Card) -> None:
    knows = (
        {ONNX}
        if card.operation == "segment"
        else {*NETWORKS, *FORMULAS, *GENERATING, READING, SENTENCES, *STARTING, ARCHITECTURE}
    )
    if card.architecture not in knows:
        known = ", ".join(sorted(knows))
        raise CheckpointMismatch(f"{card.name} has the architecture {card.architecture}; this worker knows {known}")


def _check_present(card: Card, path: Path) -> None:
    if not path.is_file():
        raise CheckpointMismatch(f"{card.name} {card.version}: there is no {path}")


def _check_digest(card: Card, path: Path, found: str) -> None:
    if found != card.weights_sha256:
        raise CheckpointMismatch(f"{path} has sha256 {found}; the card names {card.weights_sha256}")
