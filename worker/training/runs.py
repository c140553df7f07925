"""A whole training run on this machine: from its config to the model in its folder."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch

from jobs.cards import Card
from jobs.errors import InvalidRequest, Problem
from jobs.locations import Location
from jobs.settings import Settings
from jobs.storage import Storages
from worker.device import resolve
from worker.teacher import load_teacher
from worker.training.config import RunConfig
from worker.training.loop import Watcher, train
from worker.training.manifests import Described, read_manifests, vocabulary_of
from worker.training.models import write_trained
from worker.training.objectives import SEEN, TAUGHT
from worker.training.photos import NoPhotos, PhotoSet, find_photos, load_photos
from worker.training.references import References, load_references
from worker.training.starting import Start, find_start

HELD_OUT_AT_LEAST = 2


def run(config: RunConfig, folder: Path, *, watcher: Watcher, command: str) -> Card | None:
    """Train as the config says, and write the model. Return None if the watcher stopped it before its end.

    Raises:
        InvalidRequest: something in the config cannot be done, or the folder holds another run.
        Conflict: another process trains in this folder.
        CheckpointMismatch: the weights of the model to start from are not those of its card.
        TeacherMissing: the objective needs the teacher, which is not installed.
        StorageError: storage did not answer.

    """
    device = _device(config)
    torch.set_num_threads(config.threads)
    places = [Location.parse(place, field="photos") for place in config.photos]
    with closing(open_storages()) as storages:
        teacher = load_teacher(device) if config.objective in {*TAUGHT, *SEEN} else None
        start = find_start(config, _references(config, storages), teacher)
        photos = _photos(config, start, places, storages)
    start = replace(start, vocabulary=photos.vocabulary)
    trained = train(config, photos, start, folder, device, watcher=watcher)
    if trained is None:
        return None
    shown = (
        f"{device.type}, {config.threads} thread{'s' * (config.threads != 1)}"
        if device.type == "cpu"
        else torch.cuda.get_device_name(device)
    )
    return write_trained(folder, trained, config, photos, start, name=config.name, command=command, device=shown)


def _photos(config: RunConfig, start: Start, places: list[Location], storages: Storages) -> PhotoSet:
    """Read the photos, with the words and the sidecars that the run is to learn from."""
    if config.attributes or config.sidecars:
        described = read_manifests(places, storages, attributes=config.attributes, sidecars=config.sidecars)
    else:
        described = [Described(photo=photo) for photo in find_photos(places, storages)]
    known = start.known
    if known is not None and list(known) != list(config.attributes):
        remedy = f"name those that the model to start from knows, in its order: {', '.join(known) or 'none'}"
        raise InvalidRequest(Problem(field="attributes", value=list(config.attributes), remedy=remedy))
    try:
        return load_photos(
            described,
            storages,
            side=start.objective.side_px,
            at_least=HELD_OUT_AT_LEAST * config.held_out_every,
            vocabulary=vocabulary_of(described, config.attributes) if known is None else known,
            sidecars=config.sidecars,
        )
    except NoPhotos as error:
        remedy = f"{error}: twice held_out_every, so that there are {HELD_OUT_AT_LEAST} to measure with"
        raise InvalidRequest(Problem(field="photos", value=list(config.photos), remedy=remedy)) from None


def _references(config: RunConfig, storages: Storages) -> References | None:
    """Return the style pictures, where the objective learns from them."""
    if config.objective not in TAUGHT:
        return None
    return load_references([Location.parse(place, field="references") for place in config.references], storages)


def open_storages() -> Storages:
    """Return the storages that the RESTYLE_* variables lead to. The caller closes them."""
    settings = Settings()
    return Storages(s3_endpoint_url=settings.s3_endpoint_url, s3_region=settings.s3_region)


def _device(config: RunConfig) -> torch.device:
    try:
        return resolve(config.device)
    except ValueError:
        remedy = "give cpu, cuda, cuda:N or auto, of what this machine has"
        raise InvalidRequest(Problem(field="device", value=config.device, remedy=remedy)) from None
