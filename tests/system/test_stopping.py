"""Real workers that are asked to stop, are killed, or meet a picture that kills them. They have no broker.

What was measured is logged: see it with `--log-cli-level=INFO`.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select, update

from jobs.database import Database
from jobs.recipes import Recipe
from jobs.records import ItemRecord, JobRecord, ResultRecord, ShardRecord
from jobs.states import CancelMode, ItemState, JobState, ShardState
from migrations import upgrade
from tests import pictures, servers
from tests.factories import make_job
from tests.nursery import Nursery
from tests.system.processes import Settings, Worker, shelf_of
from worker.vital import EXIT_HUNG, EXIT_IMPATIENT

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

log = logging.getLogger(__name__)

WAIT_SECONDS = 120.0


def poison() -> bytes:
    """A picture that a `PoisonedWorker` dies of."""
    file = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), (255, 0, 0), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


class PoisonedWorker(Worker):
    program = "tests.system.poisoned_worker"


@dataclass
class Place:
    """A database, a folder, and the workers on them."""

    database_url: str
    folder: Path
    parent: Path
    nursery: Nursery
    workers: list[Worker]

    def __post_init__(self) -> None:
        self.database = Database(self.database_url)
        self.models = shelf_of(self.folder, "unchanged")

    def start_worker(self, poison: str | None = None, **extra: str) -> Worker:
        if poison is not None:
            extra |= {"RESTYLE_TEST_POISON": poison}
        settings = Settings(
            database_url=self.database_url,
            broker_url=f"redis+socket://{self.folder}/nobody-listens-here?virtual_host=0",
            storage_url=f"file://{self.folder}/storage",
            allowed_prefixes=f"file://{self.folder}/",
            extra={"RESTYLE_POLL_SECONDS": "0.2", "RESTYLE_MODELS_DIR": self.models, **extra},
        )
        worker = (Worker if poison is None else PoisonedWorker)(self.parent, settings, self.nursery)
        worker.start()
        self.workers.append(worker)
        return worker

    def add_job(self, *, items: int, poisoned: int | None = None, source: str | None = None) -> None:
        (self.folder / "in").mkdir(exist_ok=True)
        with self.database.transaction() as session:
            recipe = Recipe(model="unchanged", format="png")
            job = make_job(session, items=items, recipe=recipe, output_url=f"file://{self.folder}/out/")
            for number in range(items):
                path = self.folder / "in" / f"{number}.png"
                path.write_bytes(poison() if number == poisoned else pictures.png(number, width=64, height=64))
                columns = {
                    "source_url": f"{source or f'file://{path.parent}/'}{number}.png",
                    "output_key": f"{number}.png",
                }
                session.execute(
                    update(ItemRecord).where(ItemRecord.job_id == job.id, ItemRecord.item_no == number).values(columns)
                )

    def set_job(self, **columns: Any) -> None:
        with self.database.transaction() as session:
            session.execute(update(JobRecord).values(columns))

    def shards(self) -> list[ShardRecord]:
        with self.database.reading() as session:
            return list(session.scalars(select(ShardRecord).order_by(ShardRecord.shard_no)))

    def results(self) -> dict[int, ResultRecord]:
        with self.database.reading() as session:
            return {row.item_no: row for row in session.scalars(select(ResultRecord))}


@pytest.fixture
def place(database_url: str, tmp_path: Path, servers_folder: Path, nursery: Nursery) -> Iterator[Place]:
    place = Place(database_url, tmp_path, servers_folder, nursery, [])
    yield place
    close(place)


@pytest.fixture
def on_postgres(postgres_url: str, tmp_path: Path, servers_folder: Path, nursery: Nursery) -> Iterator[Place]:
    place = Place(postgres_url, tmp_path, servers_folder, nursery, [])
    yield place
    close(place)


def close(place: Place) -> None:
    for worker in place.workers:
        worker.kill()
    place.database.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def exit_of(worker: Worker) -> int:
    assert worker._process is not None
    return worker._process.wait(WAIT_SECONDS)


def lines(worker: Worker, event: str) -> list[dict[str, Any]]:
    """The lines of a worker's log that tell of an event."""
    found = [json.loads(line) for line in worker.log().splitlines() if line.startswith("{") and line.endswith("}")]
    return [line for line in found if line["event"] == event]


@contextlib.contextmanager
def slow_storage(how: str) -> Iterator[str]:
    """The URL of a server that takes every connection and never answers, or answers a byte at a time."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        done = threading.Event()

        def crawl(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nETag: x\r\n\r\n")
                while not done.wait(0.1):
                    connection.sendall(b"x")

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=crawl, args=(server.accept()[0],), daemon=True).start()

        if how == "crawls":  # one that hangs needs nobody: the kernel takes the connections
            threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        done.set()


@pytest.mark.parametrize("how", ["hangs", "crawls"])
def test_a_worker_whose_storage_is_slow_stops_at_once_and_burns_no_attempt(on_postgres: Place, how: str) -> None:
    on_postgres.add_job(items=200, source="s3://shop/")
    with slow_storage(how) as url:
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        worker = on_postgres.start_worker(
            RESTYLE_S3_ENDPOINT_URL=url, RESTYLE_S3_REGION="us-east-1", RESTYLE_LEASE_SECONDS="60", **keys
        )
        worker.wait_for_log('"shard_claimed"')
        worker.send(signal.SIGTERM)
        asked = time.monotonic()
        assert exit_of(worker) == 0
        took = time.monotonic() - asked
    (stopped,) = lines(worker, "worker_stopped")
    log.info(f"storage that {how}: leases back after {stopped['seconds']} s, gone after {took:.2f} s")
    assert stopped["settled"]
    assert took < 20, "seconds, on a machine that does much else"
    (shard,) = on_postgres.shards()
    assert (shard.state, shard.attempt) == (ShardState.READY, 0)


def test_a_worker_whose_database_is_away_stops_all_the_same(
    servers_folder: Path, nursery: Nursery, tmp_path: Path
) -> None:
    with servers.Postgres(servers_folder) as server:
        database = Database(server.url(server.create_database()))
        upgrade(database.engine)
        database.close()
        place = Place(str(database.engine.url), tmp_path, servers_folder, nursery, [])
        place.add_job(items=2, poisoned=1)
        worker = place.start_worker("slow")
        worker.wait_for_log("met the poison")
        server.kill()
        worker.send(signal.SIGTERM)
        asked = time.monotonic()
        assert exit_of(worker) == 0
        log.info(f"database away: gone after {time.monotonic() - asked:.2f} s")
        assert time.monotonic() - asked < 30
        close(place)


def test_a_second_signal_ends_the_patience(on_postgres: Place) -> None:
    on_postgres.add_job(items=1, poisoned=0)
    worker = on_postgres.start_worker("hang")
    worker.wait_for_log("met the poison")
    worker.send(signal.SIGTERM)
    worker.wait_for_log('"worker_stopping"')
    assert worker.running, "it waits for the device, for as long as a picture may take"
    worker.send(signal.SIGINT)
    assert exit_of(worker) == EXIT_IMPATIENT


def test_the_shard_of_a_killed_worker_runs_elsewhere_long_before_its_lease_ends(on_postgres: Place) -> None:
    on_postgres.add_job(items=1, poisoned=0)
    doomed = on_postgres.start_worker("hang", RESTYLE_LEASE_SECONDS="600")
    doomed.wait_for_log("met the poison")
    other = on_postgres.start_worker(RESTYLE_LEASE_SECONDS="600")
    time.sleep(6)  # who has just come judges nobody for 5 s
    killed = time.time()
    doomed.kill()
    other.wait_for_log('"shard_claimed"')
    (claimed,) = lines(other, "shard_claimed")
    took = time.time() - killed
    log.info(f"killed: claimed elsewhere after {took:.2f} s, at {claimed['at']}")
    assert claimed["attempt"] == 2
    assert took < 60, "a tenth of the lease, on a machine that does much else"
    wait_until(lambda: on_postgres.results()[0].state is ItemState.SUCCEEDED if on_postgres.results() else False)


def test_a_cancelled_job_stops_within_two_seconds_or_one_batch(place: Place) -> None:
    place.add_job(items=100, poisoned=0)
    with place.database.transaction() as session:
        for number in range(100):
            columns = {"source_url": f"file://{place.folder}/in/0.png"}
            session.execute(update(ItemRecord).where(ItemRecord.item_no == number).values(columns))
    worker = place.start_worker("slow")
    wait_until(lambda: len(place.results()) > 0)
    place.set_job(state=JobState.CANCELLING, cancel_mode=CancelMode.NOW)
    cancelled = time.monotonic()
    worker.wait_for_log('"lease_lost"')
    log.info(f"cancelled: dropped after {time.monotonic() - cancelled:.2f} s")


@pytest.mark.parametrize(
    ("how", "code"), [("segfault", "worker_crashed"), ("kill", "worker_crashed"), ("hang", "deadline")]
)
def test_a_picture_that_ends_its_workers_fails_alone(place: Place, how: str, code: str) -> None:
    place.add_job(items=8, poisoned=5)
    deaths = 0
    deadline = time.monotonic() + 500
    while any(shard.state is not ShardState.ENDED for shard in place.shards()):
        worker = place.start_worker(how, RESTYLE_LEASE_SECONDS="2", RESTYLE_ITEM_SECONDS="2")
        assert worker._process is not None
        while worker._process.poll() is None and any(each.state is not ShardState.ENDED for each in place.shards()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        if worker._process.poll() is not None:  # as a supervisor does, start it anew
            deaths += 1
            assert how != "hang" or worker._process.returncode == EXIT_HUNG
    log.info(f"{how}: {deaths} deaths")
    assert deaths <= 10
    results = place.results()
    assert len(results) == 8
    assert {number: row.error_code for number, row in results.items() if row.error_code} == {5: code}
    assert {row.state for number, row in results.items() if number != 5} == {ItemState.SUCCEEDED}
