"""The photos and references that `benchmarks.styles` measures on, with the products' masks where there are any."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.progress import say
from worker.plain_background import product_on_plain
from worker.training.photos import SUFFIXES, UNREADABLE
from worker.training.recovery import SIDE_PX, read_picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A picture of a product, with a longer side of 256 px."""

    name: str
    picture: Tensor  # uint8 [3, h, w]
    mask: Tensor | None = None  # uint8 [1, h, w], 255 where the product is; None: not known


def find_pictures(folder: Path) -> list[Path]:
    """Return the pictures below a folder, sorted; only real photos where a manifest.csv tells them from renders."""
    manifest = folder / "manifest.csv"
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not manifest.is_file():
        return paths
    with manifest.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or "nature" not in rows[0] or "image_key" not in rows[0]:
        return paths
    photos = {folder / row["image_key"] for row in rows if row["nature"] == "photo"}
    return [path for path in paths if path in photos]


def unseen(paths: Sequence[Path], folders: Sequence[Path]) -> list[Path]:
    """Leave out the pictures that also lie, byte for byte, below one of these folders: what was trained on."""
    seen = {_digest(path) for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES}
    return [path for path in paths if _digest(path) not in seen]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_photos(paths: Sequence[Path], count: int, *, masks: int = 0) -> list[Photo]:
    """Read pictures, at most `count`, the first so many with their masks; skip what cannot be read."""
    photos: list[Photo] = []
    for path in paths:
        try:
            photos.append(_read(path, with_mask=len(photos) < masks))
        except UNREADABLE as error:
            say(f"skipped {path.name}: {error}")
        if len(photos) == count:
            break
    return photos


def _read(path: Path, *, with_mask: bool) -> Photo:
    content = path.read_bytes()
    picture = read_picture(content)
    return Photo(name=path.name, picture=picture, mask=_mask(content, picture) if with_mask else None)


def _mask(content: bytes, picture: Tensor) -> Tensor | None:
    """Return the mask that the picture's own transparency is, or that its plain background gives."""
    with Image.open(io.BytesIO(content)) as image:
        transparent = image.has_transparency_data
        alpha = image.convert("RGBA").getchannel("A") if transparent else None
    if alpha is not None:
        alpha.thumbnail((SIDE_PX, SIDE_PX))
    found = product_on_plain(picture.permute(1, 2, 0).numpy()) if alpha is None else np.array(alpha)
    if found is None or not 0 < (found >= 128).mean() < 1:
        return None
    return torch.from_numpy(found)[None]
