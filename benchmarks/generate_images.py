"""Measures what is made of pictures, on photos: `python -m benchmarks.generate_images [--photos FOLDER]`.

Enlarged: a photo is made smaller by bicubic interpolation, as in the literature, and enlarged again, by our models and
by what libraries have. Filled: holes are drawn into it, and filled. PSNR (of the holes alone, where there are any) and
SSIM. Without a folder the photos are those in the public domain that come with scikit-image.

Progress goes to stderr; the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import Tensor

from benchmarks.progress import say
from benchmarks.style_pictures import find_pictures, unseen
from jobs.cards import BUILT_IN
from worker.checkpoints import build, read_model
from worker.pipelines.base import Batch, Pipeline
from worker.quality.similarity import psnr_db, ssim
from worker.training.damage import random_holes
from worker.training.photos import UNREADABLE

SIDE_PX = 512  # longer side of the photos
STEP_PX = 4  # their sides are multiples of it: each can be made smaller by it
PHOTOS, QUICK_PHOTOS = 24, 8
PUBLIC = ("coffee", "chelsea", "rocket")  # in skimage.data
HOLES_SEED = 5
CPU = torch.device("cpu")

Pixels = NDArray[np.uint8]
Figures = dict[str, float]


def measure_enlarging(photos: Sequence[Pixels], scale: int, models: Path = BUILT_IN) -> Figures:
    """Return PSNR, SSIM and pictures per second of our model and of libraries; the gain is that over Pillow's bicubic.

    Raises:
        CheckpointMismatch: there is no model of this scale.

    """
    pipeline = model(f"super-resolution-{scale}x", models)
    ways: dict[str, Callable[[Pixels, tuple[int, int]], Pixels]] = {
        "model": lambda small, _size: run(pipeline, small),
        "bicubic": lambda small, size: np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)),
        "lanczos": lambda small, size: np.asarray(Image.fromarray(small).resize(size, Image.Resampling.LANCZOS)),
        "opencv_cubic": lambda small, size: cv2.resize(small, size, interpolation=cv2.INTER_CUBIC),
        "opencv_lanczos": lambda small, size: cv2.resize(small, size, interpolation=cv2.INTER_LANCZOS4),
    }
    found: dict[str, list[float]] = defaultdict(list)
    for photo in photos:
        size = (photo.shape[1], photo.shape[0])
        small = np.asarray(
            Image.fromarray(photo).resize((size[0] // scale, size[1] // scale), Image.Resampling.BICUBIC)
        )
        for way, enlarge in ways.items():
            began = time.perf_counter()
            large = enlarge(small, size)
            found[f"{way}_seconds"].append(time.perf_counter() - began)
            _note(found, way, photo, large)
    figures = _means(found)
    figures["gain_db"] = round(figures["model_psnr_db"] - figures["bicubic_psnr_db"], 3)
    return {f"super_resolution_{scale}x_{name}": value for name, value in figures.items()}


def measure_filling(photos: Sequence[Pixels], models: Path = BUILT_IN) -> Figures:
    """Return PSNR inside of the holes, SSIM and pictures per second of our model and of OpenCV."""
    pipeline = model("inpainting", models)
    ways: dict[str, Callable[[Pixels, Pixels], Pixels]] = {
        "model": lambda damaged, hole: run(pipeline, damaged, hole),
        "telea": lambda damaged, hole: cv2.inpaint(damaged, hole, 3, cv2.INPAINT_TELEA),
        "navier_stokes": lambda damaged, hole: cv2.inpaint(damaged, hole, 3, cv2.INPAINT_NS),
    }
    found: dict[str, list[float]] = defaultdict(list)
    for photo, hole in zip(photos, holes_in(photos), strict=True):
        damaged = np.where(hole[..., None] > 0, np.uint8(0), photo)
        for way, fill in ways.items():
            began = time.perf_counter()
            filled = fill(damaged, hole)
            found[f"{way}_seconds"].append(time.perf_counter() - began)
            _note(found, way, photo, filled, inside=hole > 0)
    return {f"inpainting_{name}": value for name, value in _means(found).items()}


def holes_in(photos: Sequence[Pixels]) -> Iterator[Pixels]:
    """Yield for each photo, uint8 [h, w, 3], what is missing from it: uint8 [h, w], 255 or 0."""
    generator = torch.Generator().manual_seed(HOLES_SEED)
    for photo in photos:
        height, width = photo.shape[:2]
        hole = np.zeros((height, width), np.uint8)
        while not hole.any():
            hole = (random_holes(1, max(height, width), generator)[0, 0, :height, :width] * 255).byte().numpy()
        yield hole


def model(name: str, models: Path = BUILT_IN) -> Pipeline:
    """Return the pipeline of a model.

    Raises:
        CheckpointMismatch: there is none of this name.

    """
    return build(read_model(models / name), CPU)


def run(pipeline: Pipeline, picture: Pixels, hole: Pixels | None = None) -> Pixels:
    """Return what a pipeline makes of a picture, uint8 [h, w, 3]. hole: uint8 [h, w], for those that fill."""
    mask = None if hole is None else torch.from_numpy(hole)[None, None]
    batch = Batch(images=_tensor(picture)[None], sizes=[(picture.shape[0], picture.shape[1])], masks=mask)
    return pipeline.run(batch, None, {})[0].permute(1, 2, 0).numpy()


def _note(
    found: dict[str, list[float]], way: str, wanted: Pixels, got: Pixels, inside: NDArray[np.bool_] | None = None
) -> None:
    """Note how near a way has come, in all or inside of a hole alone."""
    first, second = _tensor(wanted), _tensor(got)
    found[f"{way}_ssim"].append(ssim(first, second))
    if inside is not None:
        first, second = (picture[:, torch.from_numpy(inside)] for picture in (first, second))
    found[f"{way}_psnr_db"].append(psnr_db(first, second))


def _tensor(picture: Pixels) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def _means(found: Mapping[str, Sequence[float]]) -> Figures:
    return {
        name.replace("_seconds", "_pictures_per_second"): round(
            1 / fmean(values) if "seconds" in name else fmean(values), 3
        )
        for name, values in found.items()
    }


def read_photos(paths: Sequence[Path], count: int) -> list[Pixels]:
    """Read at most `count` photos, uint8 [h, w, 3], of at most `SIDE_PX`; skip what cannot be read."""
    photos: list[Pixels] = []
    for path in paths:
        if len(photos) == count:
            break
        try:
            with Image.open(path) as image:
                photos.append(_scaled(image))
        except UNREADABLE as error:
            say(f"skipped {path.name}: {error}")
    return photos


def public_photos() -> list[Pixels]:
    """Return the photos that come with scikit-image."""
    return [_scaled(Image.fromarray(getattr(data, name)())) for name in PUBLIC]


def _scaled(image: Image.Image) -> Pixels:
    image = image.convert("RGB")
    image.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels[: pixels.shape[0] // STEP_PX * STEP_PX, : pixels.shape[1] // STEP_PX * STEP_PX]


def measure(photos: Sequence[Pixels]) -> Figures:
    """Return every figure; `super_resolution_gain_db` is that of twice the size."""
    figures: Figures = {"photos": len(photos)}
    for scale in (2, 4):
        say(f"enlarging {len(photos)} photos {scale} times")
        figures |= measure_enlarging(photos, scale)
    say(f"filling {len(photos)} photos")
    figures |= measure_filling(photos)
    return figures | {"super_resolution_gain_db": figures["super_resolution_2x_gain_db"]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate_images", description=main.__doc__)
    parser.add_argument("--photos", type=Path, help="folder of photos; without one, scikit-image's")
    parser.add_argument(
        "--not-in", type=Path, action="append", default=[], help="leave out photos that also lie in this folder"
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PHOTOS} photos instead of {PHOTOS}")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # as a worker computes each batch
    if options.photos is None:
        photos = public_photos()
    else:
        paths = unseen(find_pictures(options.photos), options.not_in)
        random.Random(3).shuffle(paths)  # across shops and kinds
        photos = read_photos(paths, QUICK_PHOTOS if options.quick else PHOTOS)
    if not photos:
        say(f"error: there is no photo in {options.photos} that can be read")
        return 2
    print(json.dumps(measure(photos)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
