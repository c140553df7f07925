"""The style pictures of a run, where its objective learns from some: read once, kept in memory."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from jobs.errors import InvalidRequest, Problem
from jobs.locations import Location
from jobs.storage import Storages
from worker.training.photos import MAX_BYTES, UNREADABLE, find_photos

_NAME_LENGTH = 48
SIDE_PX = 384  # shorter side that is kept; chosen: strokes are then as wide as a network can paint them


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Style pictures in the order of their names.

    pictures: uint8 [3, h, w] each, the shorter side `SIDE_PX`.
    digest: sha256 over the sha256s of the files, in hex.
    """

    names: tuple[str, ...]
    pictures: tuple[Tensor, ...]
    digest: str


def load_references(places: Sequence[Location], storages: Storages) -> References:
    """Read every picture below these prefixes. The name of each is that of its file, as a parameter's value.

    Raises:
        InvalidRequest: there is none, one cannot be read, or two have the same name.
        StorageError: storage did not answer.

    """
    found: dict[str, tuple[Tensor, str]] = {}
    for place in find_photos(places, storages):
        name = _name(Path(place.key).stem)
        if name in found:
            raise _refusal(str(place), f"rename it: two pictures are called {name}")
        content = storages.at(place).read(place.key, max_bytes=MAX_BYTES)
        try:
            found[name] = (_scaled(content), hashlib.sha256(content).hexdigest())
        except UNREADABLE as error:
            raise _refusal(str(place), f"give a picture that can be opened: {error}") from None
    if not found:
        raise _refusal([str(place) for place in places], "give a place with at least one style picture")
    names = tuple(sorted(found))
    digest = hashlib.sha256("\n".join(found[name][1] for name in names).encode()).hexdigest()
    return References(names=names, pictures=tuple(found[name][0] for name in names), digest=digest)


def _name(stem: str) -> str:
    """Return small letters, digits and hyphens, a letter first: what `jobs.recipes` lets a parameter be."""
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:_NAME_LENGTH]
    return name if name[:1].isalpha() else f"painting-{name}".removesuffix("-")


def _scaled(content: bytes) -> Tensor:
    with Image.open(io.BytesIO(content)) as image:
        scale = SIDE_PX / min(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        small = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    return torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(height, width, 3).permute(2, 0, 1)


def _refusal(value: object, remedy: str) -> InvalidRequest:
    return InvalidRequest(Problem(field="references", value=value, remedy=remedy))
