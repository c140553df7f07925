"""Measures models on photos: for `restyle evaluate`, and for the card of a lighter model, beside the original."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor

from jobs.errors import InvalidRequest, Problem
from jobs.locations import Location
from jobs.storage import Storages
from worker.checkpoints import Checkpoint, build
from worker.training.photos import find_photos, read_photos
from worker.training.recovery import best_seconds, one_square, read_picture, recover_grades, restyle_with

SPEED_PX = (512, 1024)
SPEED_RUNS = 4
SPEED_LIMIT_SECONDS = 30.0  # for each size, all models together


def photos_to_measure_on(places: Sequence[Location], storages: Storages, count: int) -> list[Tensor]:
    """Read at most so many photos, in an order that is shuffled once for all.

    Raises:
        InvalidRequest: there are fewer than two.
        StorageError: storage did not answer.

    """
    found = sorted(find_photos(places, storages), key=str)
    random.Random(3).shuffle(found)  # pairs across shops and kinds
    photos = list(read_photos(found[:count], storages, read_picture).values())
    if len(photos) < 2:
        shown = [str(place) for place in places]
        raise InvalidRequest(Problem(field="photos", value=shown, remedy="give a place with at least two photos"))
    return photos


def evaluate(
    models: Mapping[str, Checkpoint], photos: Sequence[Tensor], pairs: int, *, own_look: bool = False
) -> dict[str, float]:
    """Return known-grade recovery and speed of models, by their names here: means, rounded.

    `own_look`: what is to be recovered is the look that the photos have themselves.
    """
    device = torch.device("cpu")
    pipelines = {name: build(checkpoint, device) for name, checkpoint in models.items()}
    restyles = {name: restyle_with(pipeline, models[name].card) for name, pipeline in pipelines.items()}
    figures: dict[str, list[float]] = defaultdict(list)
    for found in recover_grades(restyles, photos, pairs, wanted_strength=0.0 if own_look else 1.0):
        for key, value in found.items():
            figures[key].append(value)
    for side in SPEED_PX:
        runs = [one_square(pipelines[name], models[name].card, photos[0], side, device) for name in models]
        for name, seconds in zip(
            models, best_seconds(runs, SPEED_RUNS, limit_seconds=SPEED_LIMIT_SECONDS), strict=True
        ):
            figures[f"{name}_pictures_per_second_{side}px"] = [1 / seconds]
    return {key: round(fmean(values), 3) for key, values in sorted(figures.items())}
