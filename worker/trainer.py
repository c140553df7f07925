"""Runs the shard of a job that trains: one item, in a process of its own, which keeps its checkpoints in storage.

Of its own, because training draws from torch's random numbers, wants its own number of threads, and may run out of
memory: none of it is to touch the pictures of other jobs.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
import torch

from jobs.claims import ClaimedItem
from jobs.database import Database
from jobs.errors import ErrorCode
from jobs.leases import ItemResult
from jobs.locations import Location
from jobs.output_keys import files_url
from jobs.states import ItemState
from jobs.training_notes import forgive_deaths, note_measure
from worker.held import HeldLease
from worker.settler import Settler
from worker.work import MESSAGE_CHARACTERS

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1  # between two looks at whether it is still wanted
STOP_SECONDS = 20.0  # to finish an iteration and bring the checkpoint to storage; then it is killed
SILENT_SECONDS = 900.0  # without a word, photos being read included: it hangs
NOTE_SECONDS = 5.0  # at least, between two events
EXIT_STOPPED = 128 + signal.SIGTERM


class Trainer:
    """Trains for one lease at a time, while the feeding thread waits: the device is taken."""

    def __init__(
        self,
        database: Database,
        settler: Settler,
        *,
        device: torch.device,
        models_dir: Path,
        device_hour_cost: float = 0.0,
    ) -> None:
        self._database = database
        self._settler = settler
        self._device = device
        self._models_dir = models_dir
        self._device_hour_cost = device_hour_cost

    def train(self, held: HeldLease) -> None:
        """Train until it is done, not wanted any more, or fails; and say what became of the item."""
        for item in held.claim.items:
            result = None
            try:
                if held.begin(item.item_no):
                    result = self._train(held, item)
            except Exception as error:
                log.exception("training_failed", job_id=str(held.lease.job_id))
                result = _failed(item, ErrorCode.INTERNAL_ERROR, repr(error))
            self._settler.settle(held, item.item_no, result)

    def _train(self, held: HeldLease, item: ClaimedItem) -> ItemResult | None:
        """Return what became of the item; None to leave it to another attempt."""
        with tempfile.TemporaryDirectory(prefix="restyle-training-") as folder:
            file = Path(folder) / "job.json"
            file.write_text(json.dumps(self._config(held, item)), encoding="utf-8")
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "worker.training", "job", str(file)],
                stdin=subprocess.PIPE,  # ends with this process, and the child with it
                stdout=subprocess.PIPE,
            )
            try:
                said = self._follow(held, child)
            finally:
                child.kill()
                child.wait()
                for pipe in (child.stdin, child.stdout):
                    assert pipe is not None
                    pipe.close()
        return self._result(held, item, said, child.returncode)

    def _config(self, held: HeldLease, item: ClaimedItem) -> dict[str, Any]:
        claim = held.claim
        assert claim.recipe.training is not None
        training = claim.recipe.training.model_dump(mode="json")
        if training["start_from"] is not None:
            training["start_from"] = str(self._models_dir / training["start_from"])
        output = claim.output_url.rstrip("/") + "/"
        return training | {
            "name": claim.recipe.model,
            "photos": [item.source_url],
            "device": str(self._device),
            "runs_url": f"{files_url(claim.output_url, claim.lease.job_id)}training/",
            "token": claim.lease.token,
            "model_url": str(Location.parse(output + item.output_key).folder),
        }

    def _follow(self, held: HeldLease, child: subprocess.Popen[bytes]) -> Mapping[str, Any]:
        """Wait for the child's end, and see to it that it comes. Return the last that it said."""
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=_read_lines, args=(child, lines), daemon=True).start()
        notes = _Notes(self._database, held)
        last: dict[str, Any] = {}
        asked_at, heard_at = None, time.monotonic()
        while True:
            try:
                line = lines.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                line = None
            if line == b"":
                child.wait()
                return last
            now = time.monotonic()
            if line is not None:
                heard_at, message = now, json.loads(line)
                notes.take(message)
                last = message
            if not held.alive:
                child.kill()
            elif not held.wanted and asked_at is None:
                asked_at = now
                child.terminate()
            elif (asked_at is not None and now - asked_at > STOP_SECONDS) or now - heard_at > SILENT_SECONDS:
                log.error("training_killed", job_id=str(held.lease.job_id), silent_seconds=round(now - heard_at))
                child.kill()

    def _result(self, held: HeldLease, item: ClaimedItem, said: Mapping[str, Any], code: int) -> ItemResult | None:
        if not held.alive:
            return None
        if "ended" in said:
            ended = said["ended"]
            cost = ended["seconds"] * self._device_hour_cost / 3600
            return ItemResult(
                item_no=item.item_no,
                state=ItemState.SUCCEEDED,
                sha256=ended["sha256"],
                bytes=ended["bytes"],
                device_seconds=round(ended["seconds"], 6),
                cost=float(f"{cost:.6g}") if self._device_hour_cost else None,
            )
        if "refused" in said:
            return _failed(item, ErrorCode.TRAINING_REFUSED, said["refused"])
        if "storage" in said:
            fault = said["storage"]
            if fault["retryable"] and held.postpone():
                return None
            return _failed(item, fault["code"], fault["message"])
        if code != EXIT_STOPPED and held.wanted:
            log.error("training_crashed", job_id=str(held.lease.job_id), exit_code=code)
            held.suspect()  # the next attempt goes on from the last checkpoint; deaths in a row end it
        return None


class _Notes:
    """Puts what the run says of itself into the database. Where that does not answer, the run goes on."""

    def __init__(self, database: Database, held: HeldLease) -> None:
        self._database = database
        self._held = held
        self._noted_at = 0.0
        self._forgiven = False

    def take(self, message: Mapping[str, Any]) -> None:
        """Note a checkpoint, once, and measures, now and then."""
        lease = self._held.lease
        try:
            if "saved" in message and not self._forgiven:
                with self._database.transaction() as session:
                    forgive_deaths(session, lease)
                self._forgiven = True
            progress = message.get("progress", {})
            if len(progress) > 2 and time.monotonic() - self._noted_at > NOTE_SECONDS:  # more than iteration and loss
                self._noted_at = time.monotonic()
                with self._database.transaction() as session:
                    note_measure(session, lease, progress)
        except Exception as error:  # noqa: BLE001  # whatever the database does, training goes on
            log.warning("training_not_noted", job_id=str(lease.job_id), error=str(error))


def _read_lines(child: subprocess.Popen[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    """Pass on the child's lines, and an empty one at their end."""
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line)
    lines.put(b"")


def _failed(item: ClaimedItem, code: str, message: str) -> ItemResult:
    return ItemResult(
        item_no=item.item_no,
        state=ItemState.FAILED,
        error_code=str(code),
        error_message=message[:MESSAGE_CHARACTERS],
    )
