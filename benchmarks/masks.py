"""Measures masks where the truth is known: `python -m benchmarks.masks`, of plain backgrounds or of a model.

The studio draws its sample catalogue with exact masks. Figures: intersection over union, the mean, the tenth
percentile and the worst; how many pictures got no mask (they count as 0); and milliseconds for each, on one thread.

Progress goes to stderr; the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobs.cards import BUILT_IN, CardShelf
from studio import render, sample_catalogue
from worker.plain_background import product_on_plain
from worker.segmenter import load_segmenter

Pixels = NDArray[np.uint8]


def overlap(found: Pixels | None, wanted: Pixels) -> float:
    """Return intersection over union, 0 for no mask."""
    if found is None:
        return 0.0
    a, b = found >= 128, wanted >= 128
    return float((a & b).sum() / (a | b).sum())


def measure(scale: float, find: Callable[[Pixels], Pixels | None]) -> dict[str, float]:
    """Return the figures of what finds products in pictures."""
    overlaps, seconds = [], []
    for sample in sample_catalogue():
        width, height = (round(side * scale) for side in sample.size)
        drawn = render(sample.product, width=width, height=height)
        began = time.perf_counter()
        found = find(drawn.pixels)
        seconds.append(time.perf_counter() - began)
        overlaps.append(overlap(found, drawn.mask))
        sys.stderr.write(f"{sample.key:34} {sample.product.background:8} {overlaps[-1]:.3f}\n")
    return {
        "pictures": len(overlaps),
        "iou": round(float(np.mean(overlaps)), 3),
        "iou_p10": round(float(np.quantile(overlaps, 0.1)), 3),
        "iou_worst": round(min(overlaps), 3),
        "without_mask": sum(value == 0 for value in overlaps),
        "milliseconds": round(float(np.mean(seconds)) * 1000, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.masks", description="Measure masks of plain backgrounds, or of a model."
    )
    parser.add_argument("--scale", type=float, default=0.5, help="of the sample catalogue's sizes (default: 0.5)")
    parser.add_argument("--model", help="that finds the products (default: what finds them on plain backgrounds)")
    parser.add_argument("--models-dir", type=Path, default=BUILT_IN, help="folder of models")
    options = parser.parse_args()
    find = product_on_plain
    if options.model is not None:
        find = load_segmenter(CardShelf(options.models_dir), options.model).mask
    print(json.dumps(measure(options.scale, find)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
