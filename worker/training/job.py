"""The training of a job, as a process of its own: `python -m worker.training job FILE`, started by `worker.trainer`.

A run's folder is kept in storage, anew for each lease: a folder named for its token, whose checkpoint is written last.
Whoever has the shard next goes on from the highest token, so that a worker that lost it can disturb nobody.

It speaks to its worker in lines of JSON on stdout. When stdin ends, the worker is gone, and so is this.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import Field

from jobs.cards import Card
from jobs.errors import JobsError, StorageError
from jobs.locations import Location
from jobs.storage import Storages
from jobs.trainings import CARD, WEIGHTS
from worker.training.config import RunConfig
from worker.training.curve import LINES, PICTURE
from worker.training.loop import Watcher
from worker.training.runs import open_storages, run
from worker.training.state import CHECKPOINT, Progress, measured

SAY_SECONDS = 0.5  # between two lines that say how far it is
MEDIA_TYPES = {".json": "application/json", ".svg": "image/svg+xml", ".jsonl": "application/x-ndjson"}


class JobConfig(RunConfig):
    """What the worker says: the run, and where it is kept."""

    runs_url: str = Field(description="Folder of the run's folders, one for each lease. Ends with a slash.")
    token: int = Field(description="Of the lease.")
    model_url: str = Field(description="Folder that the model goes to. Ends with a slash.")


def train_for_job(file: Path, *, stopping: Callable[[], bool]) -> int:
    """Go on with the run of a job, beside the file that says it, and write its model.

    Return the exit code: 143 if it was asked to stop.
    """
    threading.Thread(target=_end_with_worker, daemon=True).start()
    config = JobConfig.model_validate_json(file.read_bytes())
    try:
        with closing(open_storages()) as storages:
            card = _go_on(config, file.parent / "run", storages, stopping)
    except StorageError as error:
        _say(storage={"code": str(error.code), "message": str(error), "retryable": error.retryable})
        return 1
    except (JobsError, ArithmeticError) as error:
        _say(refused=str(error))
        return 2
    return 0 if card is not None else 143


def _go_on(config: JobConfig, folder: Path, storages: Storages, stopping: Callable[[], bool]) -> Card | None:
    runs = Location.parse(config.runs_url)
    own = runs.child(f"{config.token:012}/")
    earlier = _fetch_last(storages, runs, folder)
    told = _Told()

    def save() -> None:
        _put(storages, own, folder / LINES)
        _put(storages, own, folder / CHECKPOINT)  # last: what it counts on is there
        _drop(storages, [found for found in earlier if not found.within(own)])
        earlier.clear()
        _say(saved=True)

    watcher = Watcher(stop=stopping, report=told.report, saved=save)
    command = f"a job of the operation train: {config.name}"
    card = run(config, folder, watcher=watcher, command=command)
    if card is None:
        return None
    for path in (folder / PICTURE, *sorted((folder / "samples").glob("*.png"))):
        _put(storages, runs, path)
    model = Location.parse(config.model_url)
    for name in (CARD, WEIGHTS):
        _put(storages, model, folder / name)
    _say(ended={"bytes": (folder / WEIGHTS).stat().st_size, "sha256": card.weights_sha256, "seconds": told.seconds})
    return card


class _Told:
    """Says how far the run is, now and then and at each measure."""

    def __init__(self) -> None:
        self.seconds = 0.0  # of the whole run
        self._said_at = 0.0

    def report(self, progress: Progress, figures: dict[str, float]) -> None:
        self.seconds = progress.seconds
        found = measured(figures)
        if found or time.monotonic() - self._said_at > SAY_SECONDS:
            self._said_at = time.monotonic()
            _say(progress={"iteration": progress.iteration, "loss": progress.loss, **found})


def _fetch_last(storages: Storages, runs: Location, folder: Path) -> list[Location]:
    """Bring the last checkpoint and its curve here, if there is one. Return all that is kept of earlier leases."""
    folder.mkdir()
    kept = [Location(runs.scheme, runs.root, found.key) for found in storages.at(runs).list(runs.key)]
    checkpoints = [place for place in kept if place.key.endswith(f"/{CHECKPOINT}")]
    if checkpoints:
        last = max(checkpoints, key=lambda place: place.key)  # of as many digits
        for name in (CHECKPOINT, LINES):
            place = last.folder.child(name)
            with storages.at(place).open(place.key) as stream, (folder / name).open("wb") as file:
                while part := stream.read(1 << 20):
                    file.write(part)
    return kept


def _put(storages: Storages, place: Location, path: Path) -> None:
    target = place.child(path.name)
    storages.at(target).upload(target.key, path, media_type=MEDIA_TYPES.get(path.suffix, "application/octet-stream"))


def _drop(storages: Storages, places: list[Location]) -> None:
    for place in places:
        storages.at(place).delete(place.key)


def _say(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _end_with_worker() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)
