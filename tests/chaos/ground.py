"""What chaos happens on: a database, a broker, an API, and catalogues whose right outputs are known."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import make_url

from jobs.database import Database
from jobs.states import ItemState
from tests import pictures
from tests.chaos import account
from tests.chaos.fleet import Fleet, wait_until
from tests.nursery import Nursery
from tests.servers import Broker
from tests.system.processes import Api, Settings

LEASE_SECONDS = 3
PATIENCE_SECONDS = 20.0
SIZE_PX = 48


@dataclass(frozen=True)
class Dose:
    """How much of each fault: a little for every change, a lot for `make chaos`."""

    long: bool

    def __call__(self, short: int, long: int) -> int:
        return long if self.long else short


DOSE = Dose(long=os.environ.get("CHAOS_DOSE") == "long")


def dice() -> random.Random:
    """Return what decides when and whom a fault hits. CHAOS_SEED repeats a run."""
    seed = os.environ.get("CHAOS_SEED") or str(random.SystemRandom().randrange(10**6))
    print(f"CHAOS_SEED={seed}")
    return random.Random(seed)


class Patience(httpx.HTTPTransport):
    """Asks again while the answer is 503: whoever looks on is no part of the fault."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = super().handle_request(request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return answer
            answer.close()
            time.sleep(0.1)  # a caller's pause


class PatientApi(Api):
    """The API, seen by somebody who obeys its answers."""

    def __init__(self, parent: Path, settings: Settings, nursery: Nursery) -> None:
        super().__init__(parent, settings, nursery)
        self.client.close()
        self.client = httpx.Client(base_url=self.client.base_url, timeout=30, transport=Patience())

    def enqueue(self, request: dict[str, Any]) -> str:
        answer = self.client.post("/v1/jobs", json=request, headers={"Idempotency-Key": str(uuid.uuid4())})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])


class Ground:
    """A system to break. Tests share it, so each names its own job."""

    def __init__(self, folder: Path, settings: Settings, broker: Broker, nursery: Nursery, parent: Path) -> None:
        self.folder = folder
        self.settings = settings
        self.broker = broker
        self.nursery = nursery
        self.parent = parent
        self.api = PatientApi(parent, settings, nursery)
        self.database = Database(settings.database_url)
        self.calm: dict[str, str] = {}
        self._fleets = 0

    def open(self) -> None:
        self.api.start()

    def close(self) -> None:
        self.api.kill()
        self.api.client.close()
        self.database.close()

    def fleet(self, settings: Settings | None = None) -> Fleet:
        self._fleets += 1
        return Fleet(self.nursery, settings or self.settings, self.folder / f"witness-{self._fleets}.jsonl")

    def catalogue(self, name: str, count: int, *, poison: tuple[tuple[int, str], ...] = ()) -> str:
        """Make a catalogue of so many pictures, of which some may be poisoned. Return its URL."""
        folder = self.folder / "shop" / name
        folder.mkdir(parents=True, exist_ok=True)
        bad = dict(poison)
        for number in range(count):
            file = folder / (f"{number:05d}-poison-{bad[number]}.jpg" if number in bad else f"{number:05d}.jpg")
            if not file.exists():
                file.write_bytes(pictures.jpeg(number, width=SIZE_PX, height=SIZE_PX))
        return f"file://{folder}/"

    def request(self, source_url: str, **changes: Any) -> dict[str, Any]:
        recipe = {"model": "unchanged", "format": "png"}
        return {"recipe": recipe, "source": {"type": "prefix", "url": source_url}, **changes}

    def enqueue(self, source_url: str, **changes: Any) -> str:
        return self.api.enqueue(self.request(source_url, **changes))

    def run_calmly(self, count: int) -> None:
        """Learn what each source gives when nothing goes wrong."""
        fleet = self.fleet()
        fleet.start()
        job_id = self.enqueue(self.catalogue("calm", count))
        job = self.api.wait_until_ended(job_id)
        fleet.kill()
        assert job["outcome"] == "succeeded", job
        objects = self.objects(job)
        for item in self.api.items(job_id):
            name = item["source_url"].rpartition("/")[2]
            self.calm[name] = hashlib.sha256(objects[name.replace(".jpg", ".png")]).hexdigest()
        assert len(set(self.calm.values())) == count

    def objects(self, job: dict[str, Any]) -> dict[str, bytes]:
        """Return what lies below a job's output URL, by key."""
        folder = Path(job["output_url"].removeprefix("file://"))
        return dict(_files(folder))

    def wait_until_ended(self, fleet: Fleet, job_id: str) -> dict[str, Any]:
        """Look at a job until it has ended; its counts add up at every look, and never go back."""
        try:
            return self.api.wait_until_ended(job_id)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{fleet.workers}") from error

    def settle_up(self, fleet: Fleet, job_id: str) -> Counter[ItemState]:
        """Wait for a job's end, check every promise, and return its items by state."""
        job = self.wait_until_ended(fleet, job_id)
        assert "database is locked" not in fleet.log() + self.api.log()
        try:
            return account.settle_up(self.database, fleet, job_id, self.objects(job), self.calm)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{fleet.workers}") from error

    def wait_until_begun(self, fleet: Fleet, count: int, jobs: list[str], source_url: str) -> None:
        """Wait until so many further items have begun. Where the last of the jobs ends too early, enqueue another."""
        target = fleet.count("started") + count

        def begun() -> bool:
            if self.api.job(jobs[-1])["state"] in {"finishing", "ended"}:
                jobs.append(self.enqueue(source_url))
            return fleet.count("started") >= target

        wait_until(begun, f"{count} items to begin: {fleet.workers}")

    def writable(self) -> bool:
        """Whether somebody else could write now. On Postgres there is no lock on everything."""
        path = make_url(self.settings.database_url).database
        if self.database.engine.dialect.name != "sqlite":
            return True
        with contextlib.closing(sqlite3.connect(str(path), timeout=2, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            connection.execute("ROLLBACK")
            return True

    def wait_for_settled(self, job_id: str, count: int) -> None:
        """Wait until a job has settled so many items, or has ended."""

        def enough() -> bool:
            job = self.api.job(job_id)
            return bool(job["counts"]["total"] - job["counts"]["pending"] >= count or job["state"] == "ended")

        wait_until(enough, f"{count} settled items of {job_id}")


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith(".restyle-tmp-"):
            yield path.relative_to(folder).as_posix(), path.read_bytes()
