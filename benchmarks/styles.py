"""Measures how well the built-in restyling models do: `python -m benchmarks.styles --photos DIR --references DIR`.

Known-grade recovery: a photo under one random grade must be turned into the same photo under a second one, which is
shown on a *different* photo only. The right answer is known exactly: PSNR and ΔE against it. The same with the answer's
own photo as the reference ("same") is reported too; it asks little. keep_white is off there: a true grade tints white.

Structure, sharpness, colour shift, style distance: what `worker.quality` measures of a photo's restyling with a real
reference, at the models' defaults. White: what becomes of a white background under a real reference, ΔE, with and
without keep_white.

Progress goes to stderr; the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab
from torch import Tensor

from jobs.cards import CardShelf
from worker.checkpoints import load_pipeline
from worker.pipelines.base import Batch, Pipeline
from worker.quality.item import measure_item
from worker.quality.style import palette
from worker.training.photos import SUFFIXES, UNREADABLE
from worker.training.recovery import pictures_per_second, psnr, read_picture, recover_grades, restyle_with

MEASURES = ("structure", "sharpness", "colour_shift", "style_distance")  # of every restyling
MODELS = ("reference-grade", "reinhard", "monge-kantorovich", "unchanged")
SPEED_PX = 1024

Figures = dict[str, list[float]]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much is measured."""

    pairs: int
    restylings: int  # photos that meet a real reference
    speed_runs: int


FULL = Amounts(pairs=100, restylings=60, speed_runs=12)
QUICK = Amounts(pairs=20, restylings=12, speed_runs=4)


# ---------------------------------------------------------------------------------------------------------
# Pictures


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


def read_pictures(paths: Sequence[Path], count: int) -> list[Tensor]:
    """Read pictures, at most `count`, as uint8 [3, h, w] with a longer side of 256 px; skip what cannot be read."""
    pictures = []
    for path in paths:
        try:
            pictures.append(read_picture(path.read_bytes()))
        except UNREADABLE as error:
            say(f"skipped {path.name}: {error}")
        if len(pictures) == count:
            break
    return pictures


# ---------------------------------------------------------------------------------------------------------
# Measures


def restyled(pipeline: Pipeline, picture: Tensor, reference: Tensor, *, keep_white: bool) -> Tensor:
    """Run one picture by itself, at full strength."""
    batch = Batch(images=picture[None], sizes=[(picture.shape[1], picture.shape[2])])
    parameters = {"strength": 1.0, "keep_white": keep_white}
    return pipeline.run(batch, pipeline.encode_style([reference]), parameters)[0]


def delta_e(found: Tensor, wanted: Tensor) -> tuple[float, float]:
    """Return the mean ΔE of CIE 1976 and of CIE 2000, over every other column."""
    a, b = _lab(found[..., ::2]), _lab(wanted[..., ::2])
    cie2000: Floats = deltaE_ciede2000(a, b)  # type: ignore[no-untyped-call]
    return float(np.sqrt(((a - b) ** 2).sum(-1)).mean()), float(cie2000.mean())


def _lab(picture: Tensor) -> Floats:
    lab: Floats = rgb2lab(picture.permute(1, 2, 0).numpy())
    return lab


# ---------------------------------------------------------------------------------------------------------
# Protocols


def near(found: Tensor, wanted: Tensor) -> dict[str, float]:
    """Return how near a picture is to the answer."""
    cie76, cie2000 = delta_e(found, wanted)
    return {"psnr_db": psnr(found, wanted), "delta_e": cie76, "delta_e2000": cie2000}


def keep_product(
    pipelines: Mapping[str, Pipeline], photos: Sequence[Tensor], references: Sequence[Tensor]
) -> Iterator[tuple[str, float]]:
    """Yield what is left of photos under real references, at the models' defaults, and how near they come to those."""
    for number, photo in enumerate(photos):
        reference = references[number % len(references)]
        wanted = palette([reference])
        for name, pipeline in pipelines.items():
            found = measure_item(photo, restyled(pipeline, photo, reference, keep_white=True), palette=wanted)
            yield from ((f"{name}_{measure}", found[measure]) for measure in MEASURES)
        say(f"\rrestyling {number + 1} of {len(photos)}", end="")
    say("")


def shift_white(
    pipelines: Mapping[str, Pipeline], photos: Sequence[Tensor], references: Sequence[Tensor]
) -> Iterator[tuple[str, float]]:
    """Yield how far white backgrounds move under real references, with keep_white ("kept") and without ("free")."""
    for number, photo in enumerate(photo for photo in photos if is_white(photo).float().mean() > 0.05):
        white, reference = is_white(photo), references[number % len(references)]
        for name, pipeline in pipelines.items():
            for protocol, keep in (("kept", True), ("free", False)):
                found = restyled(pipeline, photo, reference, keep_white=keep)
                yield f"{name}_white_{protocol}_delta_e", delta_e(found[:, None, white], photo[:, None, white])[0]


def is_white(picture: Tensor) -> Tensor:
    """Return which pixels are white or nearly so: bool [h, w]."""
    return picture.amin(0) >= 245


def measure(photos: Sequence[Tensor], references: Sequence[Tensor], amounts: Amounts) -> dict[str, float]:
    """Return every figure of every model: means, rounded."""
    shelf, device = CardShelf(), torch.device("cpu")
    pipelines = {name.replace("-", "_"): load_pipeline(shelf, name, device) for name in MODELS}
    pairs = min(amounts.pairs, len(photos) // 2)
    figures: Figures = defaultdict(list)
    models = {name: restyle_with(pipeline, shelf.get(name.replace("_", "-"))) for name, pipeline in pipelines.items()}
    for number, found in enumerate(recover_grades(models, photos, pairs, near)):
        for key, value in found.items():
            figures[key].append(value)
        say(f"\rpair {number + 1} of {pairs}", end="")
    say("")
    for key, value in keep_product(pipelines, photos[: amounts.restylings], references):
        figures[key].append(value)
    for key, value in shift_white(pipelines, photos, references):
        figures[key].append(value)
    for name, pipeline in pipelines.items():
        card = shelf.get(name.replace("_", "-"))
        rate = pictures_per_second(pipeline, card, photos[0], side=SPEED_PX, runs=amounts.speed_runs)
        figures[f"{name}_pictures_per_second"] = [rate]
    means = {key: round(float(np.mean(values)), 3) for key, values in sorted(figures.items())}
    return {"pairs": pairs, "references": len(references), **means}


# ---------------------------------------------------------------------------------------------------------
# Command line


def say(text: str, end: str = "\n") -> None:
    """Tell how it goes, on stderr."""
    sys.stderr.write(text + end)
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.styles", description="Measure the restyling models.")
    parser.add_argument("--photos", type=Path, required=True, help="folder of product photos")
    parser.add_argument("--references", type=Path, required=True, help="folder of pictures that give a look")
    parser.add_argument(
        "--not-in", type=Path, action="append", default=[], help="leave out photos that also lie in this folder"
    )
    parser.add_argument("--quick", action="store_true", help="20 pairs instead of 100")
    options = parser.parse_args(arguments)
    amounts = QUICK if options.quick else FULL
    paths = unseen(find_pictures(options.photos), options.not_in)
    random.Random(3).shuffle(paths)  # pairs across shops and kinds
    photos = read_pictures(paths, 2 * amounts.pairs)
    references = read_pictures(find_pictures(options.references), 100)
    if len(photos) < 2 or not references:
        say(f"error: found {len(photos)} photos and {len(references)} references; two and one are needed at least")
        return 2
    print(json.dumps(measure(photos, references, amounts)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
