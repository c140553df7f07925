"""Finds the files of large models, and proves them: a folder beside the card, or a place on the hub at one revision."""

from __future__ import annotations

import hashlib
from pathlib import Path

from jobs.cards import Card
from jobs.errors import CheckpointMismatch

ARCHITECTURE = "diffusers"
ENDINGS = (".json", ".safetensors", ".txt", ".model")  # of what is read; whatever could run code is none of it


def folder_of(card: Card, folder: Path) -> Path:
    """Return where the files of a model lie: beside its card, or, where the card names a `hub` and a `revision`, in the
    local cache of the hub, into which they are fetched unless HF_HUB_OFFLINE forbids it.

    Raises:
        CheckpointMismatch: they cannot be had, or are not those that the card names.

    """
    place = folder if "hub" not in card.config else _fetched(card)
    found = digest_of(place)
    if found != card.weights_sha256:
        raise CheckpointMismatch(f"the files of {card.name} in {place} have the sha256 {found}; the card names another")
    return place


def digest_of(folder: Path) -> str:
    """Return the sha256 of all that is read of a model: of its files' names and digests, in order."""
    lines = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in ENDINGS and path != folder / "model.json":
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            lines.update(f"{digest}  {path.relative_to(folder).as_posix()}\n".encode())
    return lines.hexdigest()


def weights_bytes(folder: Path) -> int:
    """Return what the weights in a folder take."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def _fetched(card: Card) -> Path:
    from huggingface_hub import snapshot_download  # here: it belongs to an extra

    patterns = [f"*{ending}" for ending in ENDINGS]
    try:
        return Path(snapshot_download(card.config["hub"], revision=card.config["revision"], allow_patterns=patterns))
    except (KeyError, OSError, ValueError) as error:
        raise CheckpointMismatch(f"{card.name} cannot be had from {card.config['hub']}: {error!r}") from error
