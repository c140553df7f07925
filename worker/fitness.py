"""Whether this process is fit to work, asked once before it claims anything: a wrong setting must not fail items.

What is wrong for good is refused, with every reason at once. What may only be away, storage, is waited for; so is the
database, later, by whoever needs it.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import torch
from pydantic import ValidationError

from jobs.cards import CardShelf
from jobs.errors import CheckpointMismatch, InvalidRequest, JobsError, ObjectMissing, StorageError
from jobs.locations import Location, Scheme
from jobs.storage import Storages
from worker.checkpoints import prove_weights
from worker.device import resolve
from worker.memory import available_bytes
from worker.segmenter import SegmentationMissing, onnxruntime
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

EXIT_UNFIT = 2  # as for a setting that is missing or wrong: a person must see to it
DEVICE_SECONDS = 120.0  # for a small computation, the driver's own start included
FREE_DEVICE_BYTES = 1 << 30  # chosen: a model of ours and a batch of it
FREE_DISK_BYTES = 256 << 20  # chosen: the manifest of half a million items, while it is being written
AWAY_SECONDS = 600.0  # for which storage is waited for
LONGEST_PAUSE_SECONDS = 15.0  # between two looks at it


class Unfit(Exception):
    """The process cannot do its work here. Each fault names a setting, its value and the remedy."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


def check(settings: WorkerSettings, *, away_seconds: float = AWAY_SECONDS) -> torch.device:
    """Return the device when this process can work on it.

    Raises:
        Unfit: it cannot, or storage did not answer for `away_seconds`.

    """
    faults = [
        *_faults_of_device(settings.device),
        *_faults_of_memory(settings.memory_mb),
        *_faults_of_disk(),
        *_faults_of_models(settings.models_dir),
    ]
    if faults:
        raise Unfit(faults)
    _wait_for_storage(settings, away_seconds)
    return resolve(settings.device)


def _faults_of_device(name: str) -> list[str]:
    try:
        device = resolve(name)
    except ValueError as error:
        return [str(error)]
    try:
        right = _in_time(DEVICE_SECONDS, lambda: _computes(device))
    except Exception as error:  # noqa: BLE001  # whatever a driver raises
        return [f"RESTYLE_DEVICE is {name!r}: {device} cannot compute ({error}): see to its driver, or give another"]
    if not right:
        return [f"RESTYLE_DEVICE is {name!r}: {device} computes wrong results: take it out of service, give another"]
    if device.type == "cuda":
        free, needed = torch.cuda.mem_get_info(device)[0], FREE_DEVICE_BYTES
        if free < needed:
            said = f"{free >> 20} MiB of its memory are free, and {needed >> 20} are needed"
            return [f"RESTYLE_DEVICE is {name!r}: {said}: end what else runs on it, or give another"]
    return []


def _computes(device: torch.device) -> bool:
    """Compute something whose every step is exact, also in the least precise of the number formats used."""
    values = torch.arange(1024, dtype=torch.float32, device=device).reshape(32, 32)
    return float((values @ torch.eye(32, device=device)).sum()) == 1024 * 1023 / 2


def _faults_of_memory(memory_mb: int) -> list[str]:
    available = available_bytes()
    if available is None or available >= memory_mb << 20:
        return []
    return [f"RESTYLE_MEMORY_MB is {memory_mb}: {available >> 20} MiB of memory are free: give less, or add memory"]


def _faults_of_disk() -> list[str]:
    folder = os.environ.get("TMPDIR")
    try:
        folder = folder or tempfile.gettempdir()
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return [
            f"TMPDIR is {folder!r}: no file can be written there ({error.strerror}): give a folder that can be used"
        ]
    if free < FREE_DISK_BYTES:
        needed = FREE_DISK_BYTES >> 20
        return [f"TMPDIR is {folder!r}: {free >> 20} MiB are free there, and {needed} are needed: free some"]
    return []


def _faults_of_models(folder: Path) -> list[str]:
    shelf, named = CardShelf(folder), f"RESTYLE_MODELS_DIR is {str(folder)!r}"
    try:
        names = list(shelf.cards)
    except (OSError, ValueError, ValidationError) as error:
        return [f"{named}: a model.json there cannot be read ({' '.join(str(error).split())}): mend it"]
    if not names:
        return [f"{named}: no <name>/model.json is there: give the folder of the models"]
    faults = _faults_of_segmentation(shelf, named)
    for name in names:
        try:
            prove_weights(shelf, name)
        except (CheckpointMismatch, OSError) as error:
            faults.append(f"{named}: {error}: copy the model {name} there again, or take it away")
    return faults


def _faults_of_segmentation(shelf: CardShelf, named: str) -> list[str]:
    names = [card.name for card in shelf.cards.values() if card.operation == "segment"]
    try:
        if names:
            onnxruntime()
    except SegmentationMissing as error:
        return [f"{named}, and {names[0]} is in it: {error}, or take the model away"]
    return []


def _wait_for_storage(settings: WorkerSettings, away_seconds: float) -> None:
    named, failures, until = f"RESTYLE_STORAGE_URL is {settings.storage_url!r}", 0, time.monotonic() + away_seconds
    storages = Storages(s3_endpoint_url=settings.s3_endpoint_url, s3_region=settings.s3_region)
    with contextlib.closing(storages):
        while (error := _fault_of_storage(storages, settings.storage_url)) is not None:
            if not error.retryable:
                raise Unfit([f"{named}: {error}: mend the setting, or what it names"]) from error
            if time.monotonic() > until:
                remedy = "see to the storage, its address (RESTYLE_S3_ENDPOINT_URL) and the network"
                raise Unfit([f"{named}: no answer for {away_seconds:g} s ({error}): {remedy}"]) from error
            pause = min(LONGEST_PAUSE_SECONDS, 0.25 * 2.0 ** min(failures, 8)) * random.uniform(0.5, 1)
            failures += 1
            log.warning("storage_awaited", error=str(error), failures=failures, delay_seconds=round(pause, 2))
            time.sleep(pause)


def _fault_of_storage(storages: Storages, url: str) -> JobsError | None:
    """Ask the service's own storage for anything. What the prefixes of tenants hold is theirs to see to."""
    try:
        own = Location.parse(url, field="storage_url").as_prefix()
        next(iter(storages.at(own).list(own.key)), None)
    except ObjectMissing as error:  # a folder is made by the first that is written to it, a bucket is not
        return None if own.scheme is Scheme.FILE else error
    except (StorageError, InvalidRequest) as error:
        return error
    return None


def _in_time(seconds: float, call: Callable[[], bool]) -> bool:
    """Return what a call returns.

    Raises:
        TimeoutError: it took longer. Its thread cannot be ended, so the process must be.
        Exception: what the call raised.

    """
    answers: list[bool | Exception] = []

    def run() -> None:
        try:
            answers.append(call())
        except Exception as error:  # noqa: BLE001  # raised again where it is waited for
            answers.append(error)

    thread = threading.Thread(target=run, name="fitness", daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        raise TimeoutError(f"no answer within {seconds:g} s")
    [answer] = answers
    if isinstance(answer, Exception):
        raise answer
    return answer
