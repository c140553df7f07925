"""Measures how well the built-in models do: `python -m benchmarks.styles --photos DIR --references DIR`.

`benchmarks.style_protocols` says what is measured. With `--gallery FOLDER` it also writes a page with pictures beside
the figures (`benchmarks.gallery`). Progress goes to stderr; the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.gallery import write_gallery
from benchmarks.progress import say
from benchmarks.style_pictures import Photo, find_pictures, read_photos, unseen
from benchmarks.style_protocols import Allowance, keep_product, know_grades, load_models, rate, shift_white
from jobs.cards import CardShelf
from worker.device import resolve
from worker.engine import engine_of

REFERENCES = 100  # at most
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much is measured."""

    pairs: int
    restylings: int  # photos that meet a real reference
    speed_runs: int
    seconds: float  # for each model's restylings, and for its rate at each size


FULL = Amounts(pairs=100, restylings=60, speed_runs=12, seconds=60)
QUICK = Amounts(pairs=20, restylings=12, speed_runs=4, seconds=4)

Figures = dict[str, float | str]


def measure(
    shelf: CardShelf, photos: Sequence[Photo], references: Sequence[Tensor], amounts: Amounts, device: torch.device
) -> Figures:
    """Return every figure of every model: means, rounded. Quality is measured on the CPU, rates on the device."""
    models, allowance = load_models(shelf), Allowance(amounts.seconds)
    pairs = min(amounts.pairs, len(photos) // 2)
    found: dict[str, list[float]] = defaultdict(list)
    protocols = (
        know_grades(models, photos, pairs),
        keep_product(models, photos[: amounts.restylings], references, allowance),
        shift_white(models, photos, references),
        rate(load_models(shelf, device), photos[0], device, amounts.speed_runs, allowance),
    )
    for protocol in protocols:
        for key, value in protocol:
            found[key].append(value)
    counts = {f"{model.key}_restylings": len(found.get(f"{model.key}_structure", ())) for model in models}
    means = {key: round(float(np.mean(values)), 3) for key, values in sorted(found.items())}
    engine = engine_of(device, models[0].card)
    about: Figures = {
        "device": engine.device,
        "threads": torch.get_num_threads(),
        "photos": len(photos),
        "masks": sum(photo.mask is not None for photo in photos[: amounts.restylings]),
        "pairs": pairs,
        "references": len(references),
    }
    return about | counts | means


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.styles", description="Measure the restyling models.")
    parser.add_argument("--photos", type=Path, required=True, help="folder of product photos")
    parser.add_argument("--references", type=Path, required=True, help="folder of pictures that give a look")
    parser.add_argument(
        "--not-in", type=Path, action="append", default=[], help="leave out photos that also lie in this folder"
    )
    parser.add_argument("--quick", action="store_true", help="20 pairs instead of 100")
    parser.add_argument("--device", default="auto", help="for the rates: cpu, cuda, cuda:N (default: cuda if there)")
    parser.add_argument("--gallery", type=Path, metavar="FOLDER", help="write the page with pictures into this folder")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # as a worker computes each batch
    amounts = QUICK if options.quick else FULL
    paths = unseen(find_pictures(options.photos), options.not_in)
    random.Random(3).shuffle(paths)  # pairs across shops and kinds
    photos = read_photos(paths, 2 * amounts.pairs, masks=amounts.restylings)
    references = [each.picture for each in read_photos(find_pictures(options.references), REFERENCES)]
    if len(photos) < 2 or not references:
        say(f"error: found {len(photos)} photos and {len(references)} references; two and one are needed at least")
        return 2
    shelf = CardShelf()
    figures = measure(shelf, photos, references, amounts, resolve(options.device))
    if options.gallery is not None:
        write_gallery(options.gallery, load_models(shelf), figures)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
