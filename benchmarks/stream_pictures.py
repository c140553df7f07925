"""The pictures that streams are measured on: drawn from a number, or those of a folder. All lie in S3 before a run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

# What shops show, in turn: width and height in pixels, 0.6 megapixels in the mean. A prime number of formats beside
# eight sizes, so that every size comes in every format.
SIZES = ((348, 348), (1024, 1024), (400, 533), (1200, 900), (700, 700), (400, 533), (900, 1200), (1000, 750))
FORMATS = ("JPEG", "JPEG", "PNG", "JPEG", "JPEG", "JPEG", "JPEG", "WEBP", "JPEG", "JPEG", "JPEG")
LARGE = (6000, 4000)
DISTINCT = 44  # drawn; a longer catalogue repeats them under other keys
GRAIN = 9  # steps of brightness: a sensor's noise, without which every file would be far too small
SAVE_OPTIONS: dict[str, dict[str, int]] = {"JPEG": {"quality": 92}, "PNG": {"compress_level": 1}, "WEBP": {"method": 2}}
SUFFIXES = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A picture as it lies in S3."""

    format: str  # also the ending of its key
    data: bytes


def draw(number: int, size: tuple[int, int], kind: str) -> File:
    """Draw a product on a ground, with grain. Equal numbers give equal pictures."""
    random = np.random.default_rng(number)
    ground, product = _blurred(random, 3, 190, size), _blurred(random, 9, 0, size)
    mask = Image.new("L", size)
    width, height = size
    ImageDraw.Draw(mask).ellipse((width // 5, height // 6, width * 4 // 5, height * 5 // 6), fill=255)
    pixels = np.asarray(Image.composite(product, ground, mask))
    grain = random.integers(0, GRAIN, (height, width, 1), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels // 2 + 110 + grain).save(written, kind, **SAVE_OPTIONS[kind])
    return File(format=kind.lower(), data=written.getvalue())


def _blurred(random: np.random.Generator, cells: int, darkest: int, size: tuple[int, int]) -> Image.Image:
    """Draw large soft spots of colour."""
    field: npt.NDArray[np.uint8] = random.integers(darkest, 256, (cells, cells, 3), dtype=np.uint8)
    return Image.fromarray(field).resize(size, Image.Resampling.BICUBIC)


def drawn(count: int) -> list[File]:
    """Return so many pictures of mixed sizes and formats."""
    with ThreadPoolExecutor(2) as pool:
        files = list(
            pool.map(lambda n: draw(n, SIZES[n % len(SIZES)], FORMATS[n % len(FORMATS)]), range(min(count, DISTINCT)))
        )
    return [files[number % len(files)] for number in range(count)]


def large(count: int) -> list[File]:
    """Return so many pictures, of which every fourth has 24 megapixels."""
    giant, small = draw(0, LARGE, "JPEG"), drawn(count)
    return [giant if number % 4 == 0 else file for number, file in enumerate(small)]


def of_folder(folder: Path, count: int) -> list[File]:
    """Return so many pictures of a folder: over and over, if it has fewer."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(f"{folder} has no {', '.join(SUFFIXES)}")
    files = [File(format=SUFFIXES[path.suffix.lower()], data=path.read_bytes()) for path in _spread(paths, count)]
    return [files[number % len(files)] for number in range(count)]


def _spread(paths: Sequence[Path], count: int) -> Sequence[Path]:
    """Take from all of a folder: its parts have pictures of their own kinds."""
    return paths[:: max(1, len(paths) // count)][:count]


def upload(client: Any, bucket: str, folder: str, files: Sequence[File]) -> None:
    """Put pictures into S3, numbered."""

    def put(number: int, file: File) -> None:
        key = f"{folder}product-{number:05d}.{file.format}"
        client.put_object(Bucket=bucket, Key=key, Body=file.data, ContentType=f"image/{file.format}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(len(files)), files))
