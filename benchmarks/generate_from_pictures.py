"""Measures models that enlarge pictures and fill what is missing in them, on photos.

Enlarged: a photo is made smaller by bicubic interpolation, as in the literature, and enlarged again, by our models and
by what libraries have. Filled: holes are drawn into it, and filled. PSNR (of the holes alone, where there are any) and
SSIM; and how different a trained eye finds both, where its weights are installed (`worker.teacher`). What is shown are
the photos in the public domain that come with scikit-image.
"""

from __future__ import annotations

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

from benchmarks.gallery import PUBLIC, Example, Series
from benchmarks.generate_page import Measured
from benchmarks.progress import say
from jobs.cards import Card, CardShelf
from worker.checkpoints import build, read_model
from worker.networks.vgg import VggFeatures
from worker.pipelines.base import Batch, Pipeline
from worker.quality.perceptual import perceptual_distance
from worker.quality.similarity import psnr_db, ssim
from worker.training.damage import random_holes
from worker.training.photos import UNREADABLE

SIDE_PX = 512  # longer side of the photos
STEP_PX = 4  # their sides are multiples of it: each can be made smaller by it
HOLES_SEED = 5
PART_PX = 96  # of a photo that was enlarged, what is shown
SEEN_PX = 256  # of a photo that was enlarged, what a trained eye looks at: as large as it is
CPU = torch.device("cpu")

Pixels = NDArray[np.uint8]
Figures = dict[str, float]


def measure_pictures(shelf: CardShelf, photos: Sequence[Pixels], teacher: VggFeatures | None = None) -> Measured:
    """Measure every model of a shelf that enlarges or fills, on these photos, and show the public ones.

    `super_resolution_gain_db` is the PSNR of the best model of twice the size less that of Pillow's bicubic.
    """
    figures: dict[str, float | str] = {"photos": len(photos)}
    columns = ["model_psnr_db", "library_psnr_db", "model_ssim", "library_ssim", "model_pictures_per_second"]
    if teacher is not None:
        columns[4:4] = ["model_perceptual", "library_perceptual"]
    table = [["model", *columns], ["---", *("---:" for _ in columns)]]
    series, gains = {}, [0.0]
    for card in shelf.cards.values():
        if card.operation not in ("upscale", "inpaint"):
            continue
        say(f"{card.name}: {len(photos)} photos")
        pipeline = build(read_model(shelf.folder / card.name), CPU)
        if card.operation == "upscale":
            found = enlarged(pipeline, card, photos, teacher)
            if card.config["scale"] == 2:
                gains.append(found["gain_db"])
            series[card.name] = [_enlarged_series(pipeline, card)]
        else:
            found = filled(pipeline, photos, teacher)
            series[card.name] = [_filled_series(pipeline)]
        table.append([f"`{card.name}`", *(str({**found, **_best_library(found)}[name]) for name in columns)])
        figures |= {f"{card.name.replace('-', '_')}_{name}": value for name, value in found.items()}
    figures["super_resolution_gain_db"] = max(gains)
    return Measured(figures=figures, heading="From pictures", table=table, series=series)


def _best_library(found: Figures) -> Figures:
    """Return the best figure of each measure that a library has."""
    best = {}
    for measure, choose in (("psnr_db", max), ("ssim", max), ("perceptual", min)):
        others = [found[name] for name in found if name.endswith(f"_{measure}") and not name.startswith("model_")]
        if others:
            best[f"library_{measure}"] = choose(others)
    return best


def enlarged(pipeline: Pipeline, card: Card, photos: Sequence[Pixels], teacher: VggFeatures | None = None) -> Figures:
    """Return measures and pictures per second of a model and of libraries; the gain is that over Pillow's bicubic."""
    scale = card.config["scale"]
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
        small = _smaller(photo, scale)
        for way, enlarge in ways.items():
            began = time.perf_counter()
            large = enlarge(small, size)
            found[f"{way}_seconds"].append(time.perf_counter() - began)
            _note(found, way, photo, large)
            if teacher is not None:
                wanted, seen = (_tensor(_middle(each, SEEN_PX)) for each in (photo, large))
                found[f"{way}_perceptual"].append(perceptual_distance(wanted, seen, teacher))
    figures = _means(found)
    return figures | {"gain_db": round(figures["model_psnr_db"] - figures["bicubic_psnr_db"], 3)}


def filled(pipeline: Pipeline, photos: Sequence[Pixels], teacher: VggFeatures | None = None) -> Figures:
    """Return PSNR inside of the holes, the other measures, and pictures per second, of a model and of OpenCV."""
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
            whole = fill(damaged, hole)
            found[f"{way}_seconds"].append(time.perf_counter() - began)
            _note(found, way, photo, whole, inside=hole > 0)
            if teacher is not None:
                found[f"{way}_perceptual"].append(perceptual_distance(_tensor(photo), _tensor(whole), teacher))
    return _means(found)


def _enlarged_series(pipeline: Pipeline, card: Card) -> Series:
    examples = []
    for name, photo in zip(PUBLIC, public_photos(), strict=True):
        small = _smaller(photo, card.config["scale"])
        plain = np.asarray(Image.fromarray(small).resize(photo.shape[1::-1], Image.Resampling.BICUBIC))
        found = run(pipeline, small)
        gain = psnr_db(_tensor(found), _tensor(photo)) - psnr_db(_tensor(plain), _tensor(photo))
        examples.append(
            Example(
                title=f"the middle of {name}",
                pictures=tuple(_tensor(_middle(each, PART_PX)) for each in (plain, found, photo)),
                figures={"gain in dB, whole photo": round(gain, 2)},
            )
        )
    return Series(
        name="enlarged",
        heading="Enlarged.",
        beside="Bicubic interpolation · the model · the photo. By what is gained over the first.",
        measure="gain in dB, whole photo",
        best=max,
        examples=examples,
    )


def _filled_series(pipeline: Pipeline) -> Series:
    examples, photos = [], public_photos()
    for name, photo, hole in zip(PUBLIC, photos, holes_in(photos), strict=True):
        damaged = np.where(hole[..., None] > 0, np.uint8(255), photo)
        found, peer = run(pipeline, damaged, hole), cv2.inpaint(damaged, hole, 3, cv2.INPAINT_TELEA)
        inside = torch.from_numpy(hole > 0)
        ours, theirs = (psnr_db(_tensor(each)[:, inside], _tensor(photo)[:, inside]) for each in (found, peer))
        examples.append(
            Example(
                title=name,
                pictures=tuple(_tensor(each) for each in (damaged, peer, found, photo)),
                figures={"PSNR of the holes in dB": round(ours, 2), "Telea's": round(theirs, 2)},
            )
        )
    return Series(
        name="filled",
        heading="Filled.",
        beside="Damaged · filled by OpenCV (Telea) · by the model · the photo. By the PSNR of what was filled.",
        measure="PSNR of the holes in dB",
        best=max,
        examples=examples,
    )


def _smaller(photo: Pixels, scale: int) -> Pixels:
    size = (photo.shape[1] // scale, photo.shape[0] // scale)
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))


def _middle(picture: Pixels, part_px: int) -> Pixels:
    top, left = (max(side - part_px, 0) // 2 for side in picture.shape[:2])
    return picture[top : top + part_px, left : left + part_px]


def holes_in(photos: Sequence[Pixels]) -> Iterator[Pixels]:
    """Yield for each photo, uint8 [h, w, 3], what is missing from it: uint8 [h, w], 255 or 0."""
    generator = torch.Generator().manual_seed(HOLES_SEED)
    for photo in photos:
        height, width = photo.shape[:2]
        hole = np.zeros((height, width), np.uint8)
        while not hole.any():
            hole = (random_holes(1, max(height, width), generator)[0, 0, :height, :width] * 255).byte().numpy()
        yield hole


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
