"""Storage that stays away longer than a worker tries in place: items wait for it, and fail only in the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from jobs.cards import CardShelf
from jobs.database import Database
from jobs.recipes import Recipe
from jobs.records import ItemErrorRecord, ItemRecord, JobRecord, ResultRecord, ShardRecord
from jobs.retries import Backoff
from jobs.states import ItemState, JobState, ShardState
from jobs.storage import Storages
from tests import pictures, servers
from tests.factories import make_job, make_style
from tests.places import storages_for
from tests.worker.test_runner import runner
from tests.worker.test_stream import Bench
from worker.held import ITEMS_IN_VAIN
from worker.loops import Loop

WAIT_SECONDS = 120.0
SIZE = 10


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.stages.STORAGE", Backoff(attempts=2, base_seconds=0.01, cap_seconds=0.02))
    monkeypatch.setattr("jobs.s3_client.ATTEMPTS", 1)


def postponing(monkeypatch: pytest.MonkeyPatch, *, attempts: int) -> None:
    backoff = Backoff(attempts=attempts, base_seconds=0.1, cap_seconds=0.2)
    monkeypatch.setattr("jobs.leases.POSTPONING", backoff)
    monkeypatch.setattr("worker.held.POSTPONING", backoff)


@pytest.fixture
def server(servers_folder: Path) -> Iterator[servers.S3]:
    """An S3 of the test's own, to be killed."""
    with servers.S3(servers_folder) as server:
        yield server


@pytest.fixture
def storages(server: servers.S3) -> Iterator[Storages]:
    with storages_for(server.endpoint_url) as storages:
        yield storages


@contextlib.contextmanager
def running(bench: Bench, shelf: CardShelf | None = None) -> Iterator[None]:
    """Claim and run whatever there is, as a worker does."""
    loop = Loop("work", runner(bench, shelf).step, poll_seconds=0.1)
    loop.start()
    yield
    loop.stop()
    loop.join(WAIT_SECONDS)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shard(database: Database) -> ShardRecord:
    with database.reading() as session:
        return session.scalars(select(ShardRecord)).one()


def ended(database: Database) -> bool:
    return shard(database).state is ShardState.ENDED


def add_job(database: Database, server: servers.S3, folder: Path) -> None:
    bucket = server.make_bucket()
    with contextlib.closing(server.client()) as client:
        for number in range(SIZE):
            client.put_object(Bucket=bucket, Key=f"{number}.png", Body=pictures.png(number))
    with database.transaction() as session:
        recipe = Recipe(model="unchanged", format="png")
        make_job(session, items=SIZE, recipe=recipe, output_url=f"file://{folder}/out/")
        for number in range(SIZE):
            changes = {"source_url": f"s3://{bucket}/{number}.png", "output_key": f"{number}.png"}
            session.execute(update(ItemRecord).where(ItemRecord.item_no == number).values(changes))


def test_a_storage_that_comes_back_has_cost_no_item_and_no_attempt(
    database: Database, server: servers.S3, storages: Storages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postponing(monkeypatch, attempts=1000)
    add_job(database, server, tmp_path)
    server.kill()
    with running(Bench(database, tmp_path, storages)):
        wait_until(lambda: shard(database).postponed_count >= 2)
        server.start()
        wait_until(lambda: ended(database))
    assert (shard(database).succeeded_count, shard(database).attempt) == (SIZE, 1)
    with database.reading() as session:
        codes = set(session.scalars(select(ItemErrorRecord.code)))
    assert codes == {"storage_unavailable"}, "what was tried in vain is kept"


def test_a_storage_that_stays_away_fails_the_items_with_that_reason(
    database: Database, server: servers.S3, storages: Storages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postponing(monkeypatch, attempts=3)
    add_job(database, server, tmp_path)
    server.kill()
    with running(Bench(database, tmp_path, storages)):
        wait_until(lambda: ended(database))
    assert (shard(database).failed_count, shard(database).postponed_count) == (SIZE, 2)
    with database.reading() as session:
        assert set(session.scalars(select(ResultRecord.error_code))) == {"storage_unavailable"}


def test_one_object_that_never_answers_keeps_nobody_else_waiting(
    database: Database, server: servers.S3, storages: Storages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ITEMS_IN_VAIN > 1
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    postponing(monkeypatch, attempts=1000)
    monkeypatch.setattr("jobs.leases.POSTPONING", Backoff(attempts=1000, base_seconds=1000, cap_seconds=1000))
    add_job(database, server, tmp_path)
    with database.transaction() as session:
        # Nobody listens there, which is no answer; a bucket that is missing would be one.
        session.execute(update(ItemRecord).where(ItemRecord.item_no == 0).values(source_url="s3://away/0.png"))
    bench = Bench(database, tmp_path, Split(storages))
    with running(bench):
        wait_until(lambda: shard(database).postponed_count == 1)
    assert shard(database).succeeded_count == SIZE - 1
    assert (shard(database).state, shard(database).attempt) == (ShardState.READY, 0)


class Split(Storages):
    """Storages in which one bucket lies on a server that is away."""

    def __init__(self, good: Storages) -> None:
        super().__init__(s3_endpoint_url="http://127.0.0.1:1", s3_region="us-east-1")
        self._good = good

    def at(self, location):  # type: ignore[no-untyped-def]
        return super().at(location) if location.root == "away" else self._good.at(location)


def state_of_job(database: Database) -> JobState:
    with database.reading() as session:
        return session.scalars(select(JobRecord.state)).one()


def test_a_reference_picture_that_storage_does_not_give_postpones_and_fails_in_the_end(
    database: Database, server: servers.S3, storages: Storages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postponing(monkeypatch, attempts=3)
    reference = {"url": "s3://shop/look.jpg", "sha256": "0", "bytes": 100, "file_name": "look.jpg"}
    with database.transaction() as session:
        style = make_style(session, references=[reference])
        make_job(session, items=2, recipe=Recipe(model="reinhard", style="warm"), style_id=style.id)
    server.kill()
    bench = Bench(database, tmp_path)
    away = runner(bench)
    away._models._storages = storages
    loop = Loop("work", away.step, poll_seconds=0.1)
    loop.start()
    wait_until(lambda: ended(database) and state_of_job(database) is JobState.FINISHING)
    loop.stop()
    loop.join(WAIT_SECONDS)
    assert (shard(database).failed_count, shard(database).postponed_count) == (2, 2)
    with database.reading() as session:
        assert set(session.scalars(select(ResultRecord.error_code))) == {"storage_unavailable"}


def test_a_model_folder_that_cannot_be_read_postpones_and_does_not_loop_for_ever(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postponing(monkeypatch, attempts=3)

    def unreadable(*_: object) -> None:
        raise PermissionError("weights.safetensors")

    monkeypatch.setattr("worker.model_cache.read_checkpoint", unreadable)
    with database.transaction() as session:
        make_job(session, items=2, recipe=Recipe(model="unchanged", format="png"))
    with running(Bench(database, tmp_path)):
        wait_until(lambda: ended(database))
    assert (shard(database).failed_count, shard(database).postponed_count) == (2, 2)
    with database.reading() as session:
        assert set(session.scalars(select(ResultRecord.error_code))) == {"internal_error"}
        assert {ItemState.FAILED} == set(session.scalars(select(ResultRecord.state)))
