"""Photos for training: found in folders, read once at a small size, kept in memory; and put on white when asked."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

log = logging.getLogger(__name__)

_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises, all told
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


class NoPhotos(Exception):
    """The folders hold too few photos that can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoSet:
    """What a network is trained on.

    pixels: uint8 [N, 3, side, side]: each whole photo, squeezed into a square.
    digest: sha256 over the sorted sha256s of the files, in hex.
    """

    pixels: Tensor
    digest: str


def load_photos(folders: Sequence[Path], *, side: int, at_least: int) -> PhotoSet:
    """Read every photo below these folders. A file that cannot be read is logged and left out.

    Raises:
        NoPhotos: a folder does not exist, or fewer than `at_least` photos can be read.

    """
    read: dict[str, Tensor] = {}  # by sha256: a photo that lies there twice counts once
    for folder in folders:
        if not folder.is_dir():
            raise NoPhotos(f"{folder} is not a folder")
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            content = path.read_bytes()
            try:
                read[hashlib.sha256(content).hexdigest()] = _read(path, side)
            except _UNREADABLE as error:
                log.warning("left out %s: %s", path.name, error)
    if len(read) < at_least:
        where = ", ".join(map(str, folders))
        raise NoPhotos(f"found {len(read)} photos in {where}; training needs at least {at_least}")
    names = sorted(read)  # the order is a property of the photos, not of the file system
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    return PhotoSet(pixels=torch.stack([read[name] for name in names]), digest=digest)


def _read(path: Path, side: int) -> Tensor:
    """Return one photo as uint8 [3, side, side]."""
    with Image.open(path) as image:
        image.draft("RGB", (2 * side, 2 * side))  # JPEG: decode at a fraction of the size
        small = image.convert("RGB").resize((side, side), Image.Resampling.BOX)
    return torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(side, side, 3).permute(2, 0, 1)


def random_crops(pixels: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Cut one square from each photo, and mirror half of them.

    Shape: uint8 [N, 3, S, S] -> float [N, 3, side, side] in [0, 1].
    """
    count, room = len(pixels), pixels.shape[2] - side + 1
    rows = torch.randint(room, (count, 1), generator=generator) + torch.arange(side)
    columns = torch.randint(room, (count, 1), generator=generator) + torch.arange(side)
    mirrored = torch.rand(count, generator=generator) < 0.5
    columns[mirrored] = columns[mirrored].flip(1)
    batch = torch.arange(count)[:, None, None]
    return pixels.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2) / 255


def random_outlines(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Draw soft masks like a product's: one roundish, uneven blob about the middle. [N, 1, side, side] in [0, 1]."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator) * (high - low) + low

    axis = torch.linspace(-1, 1, side)
    across = (axis.view(1, 1, 1, side) - uniform(-0.15, 0.15)) / uniform(0.35, 1.0)
    down = (axis.view(1, 1, side, 1) - uniform(-0.15, 0.15)) / uniform(0.45, 1.1)
    corner = uniform(2, 6)  # 2 is an ellipse, 6 almost a box
    radius = (across.abs() ** corner + down.abs() ** corner) ** (1 / corner)
    noise = torch.randn(count, 1, 6, 6, generator=generator)
    uneven = F.interpolate(noise, (side, side), mode="bicubic", align_corners=True)
    return ((1 - radius + uneven * uniform(0.0, 0.25)) * uniform(8, 60)).sigmoid()


def random_whites(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Draw studio backgrounds [N, 3, side, side]: most pure white, the others a little grey, tinted or uneven."""

    def chance(share: float) -> Tensor:
        return (torch.rand(count, 1, 1, 1, generator=generator) < share).float()

    grey = torch.rand(count, 1, 1, 1, generator=generator) ** 2 * 0.15
    tint = torch.randn(count, 3, 1, 1, generator=generator) * 0.01
    slope = torch.randn(count, 1, 2, 2, generator=generator).abs() * 0.03 * chance(0.4)
    uneven = F.interpolate(slope, (side, side), mode="bilinear", align_corners=True)
    return (1 - chance(0.45) * (grey + tint + uneven)).clamp(0, 1).expand(count, 3, side, side)
