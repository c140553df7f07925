"""Jobs that share a worker or an output: a bucket that stands still, and a worker that wakes up too late."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update
from torch import Tensor

from jobs import claims
from jobs.database import Database
from jobs.locations import Location
from jobs.recipes import Recipe
from jobs.records import ItemRecord, ResultRecord, ShardRecord
from jobs.states import ShardState
from jobs.storage import Storages
from tests import pictures, servers
from tests.factories import make_job
from tests.places import storages_for
from tests.s3_proxy import S3Proxy, s3_proxy
from tests.worker.test_postponing import running, wait_until
from tests.worker.test_stream import WORKER, Bench, Invert
from worker.pipelines.base import Batch, Parameters

SIZE = 48
SHARD_SIZE = 12


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture
def proxy(s3_server: servers.S3) -> Iterator[S3Proxy]:
    with s3_proxy(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def storages(proxy: S3Proxy) -> Iterator[Storages]:
    with storages_for(proxy.endpoint_url) as storages:
        yield storages


@pytest.fixture(autouse=True)
def _soon_out_of_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.stream.PATIENCE_SECONDS", 0.3)


def add_job(
    database: Database,
    server: servers.S3,
    *,
    source: str,
    output: str,
    size: int = SIZE,
    shard_size: int = SHARD_SIZE,
) -> uuid.UUID:
    with contextlib.closing(server.client()) as client:
        for number in range(size):
            client.put_object(Bucket=source, Key=f"{number}.png", Body=pictures.png(number))
    with database.transaction() as session:
        recipe = Recipe(model="unchanged", format="png")
        job = make_job(session, items=size, shard_size=shard_size, recipe=recipe, output_url=f"s3://{output}/")
        for number in range(size):
            changes = {"source_url": f"s3://{source}/{number}.png", "output_key": f"{number}.png"}
            of_job = (ItemRecord.job_id == job.id, ItemRecord.item_no == number)
            session.execute(update(ItemRecord).where(*of_job).values(changes))
        return job.id


def states_of(database: Database, job_id: uuid.UUID) -> list[ShardState]:
    with database.reading() as session:
        return list(session.scalars(select(ShardRecord.state).where(ShardRecord.job_id == job_id)))


def ended_shards(database: Database, job_id: uuid.UUID) -> int:
    return states_of(database, job_id).count(ShardState.ENDED)


def succeeded(database: Database, job_id: uuid.UUID) -> int:
    with database.reading() as session:
        results = session.scalars(select(ResultRecord).where(ResultRecord.job_id == job_id)).all()
    return sum(result.error_code is None for result in results)


@pytest.mark.parametrize("stuck", ["source", "output"])
def test_a_bucket_that_stands_still_keeps_no_other_job_waiting(
    database: Database, s3_server: servers.S3, proxy: S3Proxy, storages: Storages, tmp_path: Path, stuck: str
) -> None:
    slow, well, sources = (s3_server.make_bucket() for _ in range(3))
    first = add_job(
        database,
        s3_server,
        source=slow if stuck == "source" else sources,
        output=slow if stuck == "output" else f"{sources}/a",
    )
    second = add_job(database, s3_server, source=well, output=f"{well}/out")
    proxy.held[slow] = threading.Event()
    with running(Bench(database, tmp_path, storages)):
        wait_until(lambda: ended_shards(database, second) == SIZE // SHARD_SIZE)
        assert states_of(database, first).count(ShardState.ENDED) == 0, "and it was the first one's turn all the time"
        assert ShardState.READY in states_of(database, first), "no more of it is claimed than can run"
        proxy.held[slow].set()
        wait_until(lambda: ended_shards(database, first) == SIZE // SHARD_SIZE)
    assert (succeeded(database, first), succeeded(database, second)) == (SIZE, SIZE)


def test_a_bucket_that_says_slow_down_keeps_no_other_job_waiting(
    database: Database, s3_server: servers.S3, proxy: S3Proxy, storages: Storages, tmp_path: Path
) -> None:
    slow, well = s3_server.make_bucket(), s3_server.make_bucket()
    first = add_job(database, s3_server, source=slow, output=f"{well}/first")
    second = add_job(database, s3_server, source=well, output=f"{well}/second")
    proxy.per_second[slow] = 2
    with running(Bench(database, tmp_path, storages)):
        wait_until(lambda: ended_shards(database, second) == SIZE // SHARD_SIZE)
        assert ended_shards(database, first) < SIZE // SHARD_SIZE
        del proxy.per_second[slow]
        wait_until(lambda: ended_shards(database, first) == SIZE // SHARD_SIZE)
    assert (succeeded(database, first), succeeded(database, second)) == (SIZE, SIZE)


def test_what_a_bucket_does_not_take_is_not_read_on_and_on(
    database: Database, s3_server: servers.S3, proxy: S3Proxy, storages: Storages, tmp_path: Path
) -> None:
    source, output = s3_server.make_bucket(), s3_server.make_bucket()
    job_id = add_job(database, s3_server, source=source, output=output, size=150, shard_size=150)
    proxy.held[output] = threading.Event()
    bench = Bench(database, tmp_path, storages)
    with running(bench):
        wait_until(lambda: bool(bench.stream.slow_jobs))
        assert proxy.calls[(source, "GET", 200)] < 100
        proxy.held[output].set()
        wait_until(lambda: ended_shards(database, job_id) == 1)
    assert succeeded(database, job_id) == 150


class Same(Invert):
    """Gives each picture itself."""

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        return batch.images


def test_a_worker_that_wakes_up_too_late_replaces_nothing_of_a_later_job(
    database: Database, s3_server: servers.S3, storages: Storages, tmp_path: Path
) -> None:
    source, output = s3_server.make_bucket(), s3_server.make_bucket()
    bench = Bench(database, tmp_path, storages)
    claimed = []
    for _ in range(2):
        add_job(database, s3_server, source=source, output=output, size=3)
        with database.transaction() as session:
            claimed += claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=600)
    asleep, later = claimed
    bench.run(later, Invert())
    location = Location.parse(f"s3://{output}/0.png")
    written = storages.at(location).read("0.png", max_bytes=1 << 20)
    bench.run(asleep, Same())
    assert storages.at(location).read("0.png", max_bytes=1 << 20) == written
    with database.reading() as session:
        codes = select(ResultRecord.error_code).where(ResultRecord.job_id == asleep.lease.job_id)
        assert session.scalars(codes).all() == ["superseded"] * 3
