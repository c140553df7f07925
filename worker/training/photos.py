"""Photos for training: found below prefixes or in manifests, read once at a small size, kept in memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import structlog
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from jobs.errors import ObjectMissing, ObjectTooLarge
from jobs.locations import Location
from jobs.storage import Storages
from worker.training.manifests import Described, Vocabulary

log = structlog.get_logger(__name__)

READERS = 8
MAX_BYTES = 64 << 20  # of one photo

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises, all told
_LEAST_SHOWN = 0.7  # of a photo's side; chosen: half of its area
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


class NoPhotos(Exception):
    """There are too few photos that can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photos:
    """Photos, and what is known of each.

    pixels: uint8 [N, 3, side, side]: each whole photo, squeezed into a square.
    words: int64 [N, A]: of each attribute the place of the photo's word in the vocabulary; -1 where it is not known.
    vocabulary: the attributes and their words, in the order of `words`.
    sidecars: uint8 [N, 3, side, side] each, by the manifest's columns that name them: grey where they are masks,
        depth or edges.
    """

    pixels: Tensor
    words: Tensor
    vocabulary: Vocabulary
    sidecars: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.pixels)

    def some(self, which: Tensor) -> Photos:
        """Return those that an index or a mask chooses."""
        chosen = {name: pictures[which] for name, pictures in self.sidecars.items()}
        return Photos(pixels=self.pixels[which], words=self.words[which], vocabulary=self.vocabulary, sidecars=chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoSet(Photos):
    """What a network is trained on.

    digest: sha256 over the sorted sha256s of the files, and what else is said of each, in hex.
    """

    digest: str

    def divided(self, held_out_every: int) -> tuple[Photos, Photos]:
        """Return the photos to learn from, and every so many of them, to measure with."""
        keep = torch.arange(len(self)) % held_out_every != 0
        return self.some(keep), self.some(~keep)


def load_photos(
    described: Sequence[Described],
    storages: Storages,
    *,
    side: int,
    at_least: int,
    vocabulary: Vocabulary | None = None,
    sidecars: Sequence[str] = (),
) -> PhotoSet:
    """Read photos, each once, with what is said of them. What cannot be read as a picture is logged and left out.

    vocabulary: of the attributes whose words were read. A word that is not in it counts as not known.
    sidecars: the names of those that were read.

    Raises:
        NoPhotos: fewer than `at_least` photos can be read.
        StorageError: storage did not answer.

    """
    read: dict[str, tuple[Described, list[Tensor]]] = {}
    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(partial(_read_described, storages, partial(_squeezed, side)), described)
        for line, pictures in zip(described, found, strict=True):
            if pictures is not None:
                name = "\0".join((*(digest for digest, _ in pictures), *line.words))
                read.setdefault(name, (line, [pixels for _, pixels in pictures]))
    if len(read) < at_least:
        raise NoPhotos(f"found {len(read)} photos; training needs at least {at_least}")
    names = sorted(read)  # the order is a property of the photos, not of the storage
    lines = [read[name] for name in names]
    attributes = [{word: place for place, word in enumerate(words)} for words in (vocabulary or {}).values()]
    words = [[places.get(word, -1) for places, word in zip(attributes, line.words, strict=True)] for line, _ in lines]
    layers = [torch.stack(layer) for layer in zip(*(pictures for _, pictures in lines), strict=True)]
    return PhotoSet(
        pixels=layers[0],
        words=torch.tensor(words, dtype=torch.int64).view(len(lines), len(attributes)),
        sidecars=dict(zip(sidecars, layers[1:], strict=True)),
        vocabulary=vocabulary or {},
        digest=hashlib.sha256("\n".join(names).encode()).hexdigest(),
    )


def _read_described(
    storages: Storages, decode: Callable[[bytes], Tensor], line: Described
) -> list[tuple[str, Tensor]] | None:
    """Return digest and pixels of a photo and of its sidecars; None if one of them cannot be read."""
    pictures = [_read(storages, decode, place) for place in (line.photo, *line.sidecars)]
    whole = [picture for picture in pictures if picture is not None]
    return whole if len(whole) == len(pictures) else None


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
        whole = _stretched(image) if image.mode == "I;16" else image.convert("RGB")
        small = whole.resize((side, side), Image.Resampling.BOX)
    return torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(side, side, 3).permute(2, 0, 1)


def _stretched(depth: Image.Image) -> Image.Image:
    """Return 16 bits of depth in 8: what is nearest is 255, what is farthest 55, and 0, where there is nothing, 0."""
    steps = np.asarray(depth, np.float32)
    there = steps > 0
    near, far = (steps[there].min(), steps[there].max()) if there.any() else (0.0, 1.0)
    shades = 255 - 200 * (steps - near) / max(far - near, 1.0)
    return Image.fromarray(np.where(there, shades, 0).astype(np.uint8)).convert("RGB")


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


def random_views(pixels: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Show a half of each photo or more, up to all of it, at one size, and mirror half of them.

    Shape: uint8 [N, 3, S, S] -> float [N, 3, side, side] in [0, 1].
    """
    count = len(pixels)
    shown = _LEAST_SHOWN + (1 - _LEAST_SHOWN) * torch.rand(count, generator=generator).sqrt()
    across, down = (torch.rand(2, count, generator=generator) * 2 - 1) * (1 - shown)
    mirrored = torch.where(torch.rand(count, generator=generator) < 0.5, -shown, shown)
    nothing = torch.zeros(count)
    moves = torch.stack((mirrored, nothing, across, nothing, shown, down), dim=1).view(count, 2, 3)
    grid = F.affine_grid(moves, [count, 3, side, side], align_corners=False)
    return F.grid_sample(pixels.float() / 255, grid, mode="bilinear", padding_mode="border", align_corners=False)


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
