"""Measures the models that make pictures: `python -m benchmarks.generate [--quick]`.

A module for each kind of thing that pictures are made from: words, drawings, pictures. Products of which the truth is
known come from the studio, of a seed that nothing was trained on; photos from a folder, or those in the public domain
that come with scikit-image. With `--gallery FOLDER` a page is written. Progress goes to stderr; the last line of stdout
is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.generate_from_drawings import measure_drawings
from benchmarks.generate_from_pictures import Pixels, measure_pictures, public_photos, read_photos
from benchmarks.generate_from_words import measure_words
from benchmarks.generate_page import write_page
from benchmarks.generate_sentences import measure_sentences
from benchmarks.generate_turned import measure_turned
from benchmarks.inception import InceptionUnusable, read_inception
from benchmarks.progress import say
from benchmarks.style_pictures import find_pictures, unseen
from jobs.cards import BUILT_IN, CardShelf
from worker.engine import engine_of
from worker.networks.vgg import VggFeatures
from worker.teacher import TeacherMissing, load_teacher

PHOTOS, QUICK_PHOTOS = 24, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description="Measure what makes pictures.")
    parser.add_argument("--quick", action="store_true", help="fewer pictures: under 50 s")
    parser.add_argument(
        "--models",
        type=Path,
        metavar="FOLDER",
        default=BUILT_IN,
        help="measure the models of this folder, among them one that reads the studio's words; default: built in",
    )
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photos to enlarge and to fill")
    parser.add_argument(
        "--not-in", type=Path, action="append", default=[], help="leave out photos that also lie in this folder"
    )
    parser.add_argument("--gallery", type=Path, metavar="FOLDER", help="write the page with pictures into this folder")
    parser.add_argument(
        "--inception",
        type=Path,
        metavar="FILE",
        help="weights of the published FID's network, to compute the FID with",
    )
    options = parser.parse_args(arguments)
    try:
        inception = None if options.inception is None else read_inception(options.inception)
    except InceptionUnusable as error:
        parser.error(str(error))
    torch.set_num_threads(1)  # as a worker computes each batch
    photos = _photos(options.photos, options.not_in, QUICK_PHOTOS if options.quick else PHOTOS)
    if not photos:
        say(f"error: there is no photo in {options.photos} that can be read")
        return 2
    shelf = CardShelf(options.models)
    if not shelf.cards:
        parser.error(f"--models: there is no model in {options.models}: name the folder that holds theirs")
    measured = [
        measure_words(shelf, options.quick, inception),
        measure_sentences(shelf, options.quick),
        measure_drawings(shelf, options.quick),
        measure_turned(shelf, options.quick),
        measure_pictures(shelf, photos, None if options.quick else _trained_eye()),
    ]
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


def _trained_eye() -> VggFeatures | None:
    try:
        return load_teacher(torch.device("cpu"))
    except TeacherMissing as error:
        say(f"how different pictures look is not measured: {error}")
        return None


def _photos(folder: Path | None, not_in: Sequence[Path], count: int) -> Sequence[Pixels]:
    if folder is None:
        return public_photos()
    paths = unseen(find_pictures(folder), not_in)
    random.Random(3).shuffle(paths)  # across shops and kinds
    return read_photos(paths, count)


if __name__ == "__main__":
    sys.exit(main())
