"""Write the sample catalogue and the sample style as files: each whole or not at all, the same bytes every
time.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from studio.catalogue import Sample, sample_catalogue
from studio.render import Rendering, render
from studio.scenery import golden_hour

COLUMNS = ("product_id", "key", "title", "kind", "colour", "material", "pattern", "background", "light")
MANIFEST = "manifest.csv"

_SAVE_OPTIONS = {
    "JPEG": {"quality": 92, "subsampling": 0},
    "PNG": {"compress_level": 6},
    "WEBP": {"quality": 90, "method": 4},
}


def write_sample_catalogue(
    folder: Path,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    samples: Sequence[Sample] | None = None,
) -> int:
    """Draw the sample catalogue (or the given samples) into a folder, with its manifest; return the count.

    Files that are there already are replaced. The manifest is written last: where it is, the pictures are.

    A missing folder is made. `on_progress` is called after every picture with (pictures done, pictures in
    all).
    """
    samples = sample_catalogue() if samples is None else samples
    for done, sample in enumerate(samples, start=1):
        width, height = sample.size
        _replace(folder / sample.key, _picture(sample, render(sample.product, width=width, height=height)))
        if on_progress is not None:
            on_progress(done, len(samples))
    _replace(folder / MANIFEST, _manifest(samples))
    return len(samples)


def write_sample_style(path: Path) -> None:
    """Draw the sample style, a golden-hour landscape with teal shadows, as JPEG."""
    _replace(path, _encoded(Image.fromarray(golden_hour(width=900, height=600)), "JPEG"))


def _picture(sample: Sample, rendering: Rendering) -> bytes:
    pixels = rendering.pixels
    if sample.product.background == "none":
        pixels = np.dstack([pixels, rendering.mask])
    return _encoded(Image.fromarray(pixels), sample.format)


def _encoded(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **_SAVE_OPTIONS[kind])
    return buffer.getvalue()


def _manifest(samples: Sequence[Sample]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for sample in samples:
        product = sample.product
        attributes = (
            product.kind,
            product.colour,
            product.material,
            product.pattern,
            product.background,
            product.light,
        )
        writer.writerow((sample.product_id, sample.key, sample.title, *attributes))
    return text.getvalue().encode()


def _replace(path: Path, content: bytes) -> None:
    """Write beside the path, then move over it: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
