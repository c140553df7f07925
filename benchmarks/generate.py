"""Measures the models that make pictures: `python -m benchmarks.generate [--quick]`.

Each group of families has a module that measures it and says what there is to show: `GROUPS`. Pictures of which the
truth is known come from the studio, of a seed that nothing was trained on. With `--gallery FOLDER` a page is written.
Progress goes to stderr; the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.generate_from_words import measure_words
from benchmarks.generate_page import Measured, write_page
from jobs.cards import CardShelf
from worker.engine import engine_of

Group = Callable[[CardShelf, bool], Measured]
"""Measures the models of a shelf that are of its families; quickly, where that is asked for."""

GROUPS: tuple[Group, ...] = (measure_words,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description="Measure what makes pictures.")
    parser.add_argument("--quick", action="store_true", help="fewer pictures: under 50 s")
    parser.add_argument("--gallery", type=Path, metavar="FOLDER", help="write the page with pictures into this folder")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # as a worker computes each batch
    shelf = CardShelf()
    measured = [group(shelf, options.quick) for group in GROUPS]
    figures: dict[str, float | str] = {
        "device": engine_of(torch.device("cpu"), next(iter(shelf.cards.values()))).device,
        "threads": torch.get_num_threads(),
    }
    for each in measured:
        figures |= each.figures
    if options.gallery is not None:
        write_page(options.gallery, figures, measured)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
