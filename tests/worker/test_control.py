"""What stops running work, and how fast: controls, lost leases, a device that is busy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from torch import Tensor

from jobs.claims import Claim
from jobs.database import Database
from jobs.records import JobRecord, ShardRecord
from jobs.states import CancelMode, ItemState, JobState, ShardState
from tests.worker.test_stream import SIZE, Bench, Invert, prepared
from worker.heartbeat import Control
from worker.held import HeldLease
from worker.pipelines.base import Batch, Parameters


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


class Held(Invert):
    """Stands still with its first batch on the device until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        self.reached.set()
        assert self.go_on.wait(60)
        return super().run(batch, style, parameters)


class Running:
    """A shard with its first batch on the device and the rest on the way to it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.claim: Claim = bench.claim()
        self.held = HeldLease(self.claim)
        self.pipeline = Held()
        bench.settler.open(self.held)
        bench.stream.feed(self.held, prepared(self.claim, self.pipeline), self.claim.items)
        assert self.pipeline.reached.wait(30)

    def set_job(self, **columns: Any) -> None:
        with self.bench.database.transaction() as session:
            session.execute(update(JobRecord).values(columns))
        Control(self.bench.database, self.bench.held_leases).look()

    def shard(self) -> ShardRecord:
        with self.bench.database.reading() as session:
            return session.get_one(ShardRecord, (self.claim.lease.job_id, 0))


@pytest.fixture
def running(database: Database, tmp_path: Path) -> Iterator[Running]:
    running = Running(Bench(database, tmp_path))
    yield running
    running.pipeline.go_on.set()
    assert running.bench.settler.wait_until_idle(30), "its threads would go on asking a database that is gone"


def test_a_paused_job_finishes_the_batch_on_the_device_and_gives_back_the_rest(running: Running) -> None:
    running.set_job(state=JobState.PAUSED)
    assert not running.held.wanted
    running.pipeline.go_on.set()
    assert running.bench.settler.wait_until_idle(30)
    results = running.bench.results(running.claim)
    assert {row.state for row in results.values()} == {ItemState.SUCCEEDED}
    assert len(results) == sum(running.pipeline.sizes) == running.pipeline.sizes[0] < SIZE
    assert (running.shard().state, running.shard().attempt) == (ShardState.READY, 0)


def test_a_job_that_drains_finishes_what_is_leased(running: Running) -> None:
    running.set_job(state=JobState.CANCELLING, cancel_mode=CancelMode.DRAIN)
    running.pipeline.go_on.set()
    assert running.bench.settler.wait_until_idle(30)
    assert len(running.bench.results(running.claim)) == SIZE


def test_a_cancelled_job_is_dropped_at_once_also_while_the_device_is_busy(running: Running) -> None:
    running.set_job(state=JobState.CANCELLING, cancel_mode=CancelMode.NOW)
    assert running.bench.settler.wait_until_idle(30), "nothing waits for the device"
    assert running.bench.held_leases.all() == []
    running.pipeline.go_on.set()
    assert running.bench.results(running.claim) == {}
    assert running.shard().state is ShardState.LEASED, "whoever cancels the job takes it back"


def test_giving_up_waits_for_nothing_and_burns_no_attempt(running: Running) -> None:
    running.held.wind_down()
    assert not running.bench.settler.wait_until_idle(1), "what is on the device is waited for"
    running.bench.settler.give_up()
    assert running.bench.settler.wait_until_idle(30)
    assert (running.shard().state, running.shard().attempt) == (ShardState.READY, 0)
    running.pipeline.go_on.set()
    assert running.bench.results(running.claim) == {}


def test_control_goes_on_asking_when_the_database_does_not_answer(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the database is not what it was")

    control = Control(running.bench.database, running.bench.held_leases)
    with monkeypatch.context() as patch:
        patch.setattr("jobs.leases.standing", broken)
        control.look()
    assert running.held.wanted
    running.set_job(state=JobState.PAUSED)
    assert not running.held.wanted
