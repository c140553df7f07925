"""The settler: what it records together, and what one lease may cost another."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, select

from jobs import claims
from jobs.database import Database
from jobs.records import ResultRecord, ShardRecord, SumRecord
from jobs.states import ShardState
from jobs.tallies import distributions
from tests.factories import make_job
from tests.worker.test_stream import WORKER, Bench, Invert, prepared
from worker.held import HeldLease
from worker.settler import Settler
from worker.work import Work

WIDER_THAN_ANY_COLUMN = 2**40


@pytest.fixture
def bench(postgres_url: str, tmp_path: Path) -> Iterator[Bench]:
    """On Postgres: SQLite takes numbers of any size."""
    database = Database(postgres_url)
    yield Bench(database, tmp_path)
    database.close()


def hold(bench: Bench, settler: Settler, shards: int) -> list[HeldLease]:
    """Claim so many shards of a job, one after the other."""
    with bench.database.transaction() as session:
        make_job(session, items=2 * shards, shard_size=2)
        held = [
            HeldLease(claim)
            for _ in range(shards)
            for claim in claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=60)
        ]
    for each in held:
        settler.open(each)
    return held


def finish(settler: Settler, held: HeldLease, width: int = 8) -> None:
    for item in held.claim.items:
        work = Work(held=held, item=item, prepared=prepared(held.claim, Invert()))
        work.size = (8, width)
        settler.inbox.put(work)


def recorded(bench: Bench, job_id: uuid.UUID) -> list[int]:
    with bench.database.reading() as session:
        return sorted(session.scalars(select(ResultRecord.item_no).where(ResultRecord.job_id == job_id)))


def test_shards_that_end_together_are_recorded_in_one_transaction(bench: Bench) -> None:
    settler = Settler(bench.database, bench.held_leases, on_job_complete=lambda _job_id: None)
    held = hold(bench, settler, 5)
    for each in held:
        finish(settler, each)
    commits: list[object] = []
    event.listen(bench.database.engine, "commit", commits.append)
    settler.start()
    assert settler.wait_until_idle(30)
    assert recorded(bench, held[0].lease.job_id) == list(range(10))
    assert len(commits) == 2, "one for all results, and one that lets the job finish"


def test_what_a_result_cost_is_its_device_seconds_at_the_price_of_the_device(bench: Bench) -> None:
    settler = Settler(bench.database, bench.held_leases, on_job_complete=lambda _job_id: None, device_hour_cost=7.2)
    [held] = hold(bench, settler, 1)
    for item, seconds in zip(held.claim.items, (0.5, None), strict=True):
        work = Work(held=held, item=item, prepared=prepared(held.claim, Invert()))
        work.size, work.device_seconds = (8, 8), seconds
        settler.inbox.put(work)
    settler.start()
    assert settler.wait_until_idle(30)
    with bench.database.reading() as session:
        rows = session.execute(select(ResultRecord.device_seconds, ResultRecord.cost).order_by(ResultRecord.item_no))
        assert [tuple(row) for row in rows] == [(0.5, 0.001), (None, None)]
        part = session.scalars(select(SumRecord)).one()
    assert (part.device_item_count, part.device_seconds, part.cost) == (1, 0.5, 0.001)


def test_the_measures_of_a_shard_are_counted_once_whoever_settled_its_items(bench: Bench) -> None:
    settler = Settler(bench.database, bench.held_leases, on_job_complete=lambda _job_id: None)
    [first] = hold(bench, settler, 1)
    put_measured(settler, first, 0.5)
    first.wind_down()  # the other item goes back, and with it the shard
    settler.start()
    assert settler.wait_until_idle(30)
    with bench.database.transaction() as session:
        [claim] = claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=60)
    assert [item.item_no for item in claim.items] == [1]
    second = HeldLease(claim)
    settler.open(second)
    put_measured(settler, second, 0.9)
    assert settler.wait_until_idle(30)
    with bench.database.reading() as session:
        found = distributions(session.scalars(select(ShardRecord.measures)).one() or {})["ssim"]
    assert (found.count, found.minimum, found.maximum) == (2, 0.5, 0.9)


def put_measured(settler: Settler, held: HeldLease, ssim: float) -> None:
    """Let the first of a lease's items succeed with this figure."""
    work = Work(held=held, item=held.claim.items[0], prepared=prepared(held.claim, Invert()))
    work.size, work.measures = (8, 8), {"ssim": ssim}
    settler.inbox.put(work)


def test_a_result_that_cannot_be_recorded_costs_its_own_lease_alone(bench: Bench) -> None:
    settler = Settler(bench.database, bench.held_leases, on_job_complete=lambda _job_id: None)
    first, spoiled, last = hold(bench, settler, 3)
    finish(settler, first)
    finish(settler, spoiled, width=WIDER_THAN_ANY_COLUMN)
    finish(settler, last)
    settler.start()
    assert settler.wait_until_idle(30)
    assert recorded(bench, first.lease.job_id) == [0, 1, 4, 5]
    assert (first.alive, spoiled.alive, last.alive) == (True, False, True)
    with bench.database.reading() as session:
        states = session.scalars(select(ShardRecord.state).order_by(ShardRecord.shard_no)).all()
    assert states == [ShardState.ENDED, ShardState.LEASED, ShardState.ENDED], "it is left to expire"
