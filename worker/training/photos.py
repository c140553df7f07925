"""Photos for training: found below prefixes, read once at a small size, kept in memory; put on white when asked."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from jobs.errors import ObjectMissing, ObjectTooLarge
from jobs.locations import Location
from jobs.storage import Storages

log = structlog.get_logger(__name__)

READERS = 8
MAX_BYTES = 64 << 20  # of one photo

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises, all told
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


class NoPhotos(Exception):
    """There are too few photos that can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoSet:
    """What a network is trained on.

    pixels: uint8 [N, 3, side, side]: each whole photo, squeezed into a square.
    digest: sha256 over the sorted sha256s of the files, in hex.
    """

    pixels: Tensor
    digest: str

    def divided(self, held_out_every: int) -> tuple[Tensor, Tensor]:
        """Return the photos to learn from, and every so many of them, to measure with."""
        keep = torch.arange(len(self.pixels)) % held_out_every != 0
        return self.pixels[keep], self.pixels[~keep]


def load_photos(places: Sequence[Location], storages: Storages, *, side: int, at_least: int) -> PhotoSet:
    """Read every photo below these prefixes. A file that cannot be read as a picture is logged and left out.

    Raises:
        NoPhotos: fewer than `at_least` photos can be read.
        StorageError: storage did not answer.

    """
    read = read_photos(find_photos(places, storages), storages, partial(_squeezed, side))
    if len(read) < at_least:
        where = ", ".join(map(str, places))
        raise NoPhotos(f"found {len(read)} photos in {where}; training needs at least {at_least}")
    names = sorted(read)  # the order is a property of the photos, not of the storage
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    return PhotoSet(pixels=torch.stack([read[name] for name in names]), digest=digest)


def find_photos(places: Sequence[Location], storages: Storages) -> list[Location]:
    """Return what lies below these prefixes and has a photo's name."""
    return [
        Location(place.scheme, place.root, found.key)
        for place in places
        for found in storages.at(place).list(place.key)
        if Path(found.key).suffix.lower() in SUFFIXES
    ]


def read_photos(photos: Sequence[Location], storages: Storages, decode: Callable[[bytes], Tensor]) -> dict[str, Tensor]:
    """Return photos by the sha256 of their files: one that lies there twice counts once.

    A file that cannot be read as a picture is logged and left out.

    Raises:
        StorageError: storage did not answer.

    """
    read: dict[str, Tensor] = {}
    # Threads for storage that is far away; what is read does not depend on their order.
    with ThreadPoolExecutor(READERS) as readers:
        for found in readers.map(partial(_read, storages, decode), photos):
            if found is not None:
                digest, pixels = found
                read.setdefault(digest, pixels)
    return read


def _read(storages: Storages, decode: Callable[[bytes], Tensor], photo: Location) -> tuple[str, Tensor] | None:
    try:
        content = storages.at(photo).read(photo.key, max_bytes=MAX_BYTES)
        return hashlib.sha256(content).hexdigest(), decode(content)
    except (*UNREADABLE, ObjectTooLarge, ObjectMissing) as error:
        log.warning("photo_left_out", photo=str(photo), error=str(error))
        return None


def _squeezed(side: int, content: bytes) -> Tensor:
    """Return a photo as uint8 [3, side, side]."""
    with Image.open(io.BytesIO(content)) as image:
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
