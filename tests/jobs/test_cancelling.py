"""Cancelling what is pending, at once or by draining, on both databases."""

from __future__ import annotations

import datetime
import threading
import time
import uuid

import pytest
from sqlalchemy import func, select, update

from jobs import claims, controls, leases
from jobs.advance import advance
from jobs.cancelling import BATCH_SHARDS
from jobs.cards import CardShelf
from jobs.claims import Claim
from jobs.database import Database, append, now
from jobs.errors import LeaseLost
from jobs.job_leases import JobLease, claim_job
from jobs.leases import ItemResult
from jobs.records import ItemRecord, JobRecord, ResultRecord, ShardRecord
from jobs.states import CancelMode, ItemState, JobState, ShardState
from jobs.storage import Storages
from jobs.tenants import Tenant
from tests import factories
from tests.factories import TENANT, item_row, lease, make_job

STOPPING = threading.Event()  # never set


def claim_step(database: Database) -> JobLease | None:
    with database.transaction() as session:
        return claim_job(session, worker_id=uuid.uuid4(), lease_seconds=30, stopping=STOPPING)


def step(database: Database) -> JobLease:
    claimed = claim_step(database)
    assert claimed is not None
    advance(
        database,
        Storages(),
        claimed,
        shelf=CardShelf(),
        allowed=(),
        ring=lambda _queue, _times: None,
        draw_sheet=lambda _job, _folder: {},
    )
    return claimed


def claim_shard(database: Database) -> Claim:
    with database.transaction() as session:
        [claimed] = claims.claim(session, worker_id=uuid.uuid4(), queue="gpu", lease_seconds=60)
    return claimed


def settle_all(database: Database, claimed: Claim) -> None:
    results = [
        ItemResult(item_no=item.item_no, state=ItemState.SUCCEEDED, sha256="00", bytes=1) for item in claimed.items
    ]
    with database.transaction() as session:
        factories.settle(session, claimed.lease, results)


def stop(database: Database, job_id: uuid.UUID, mode: CancelMode) -> None:
    with database.transaction() as session:
        session.execute(
            update(JobRecord)
            .where(JobRecord.id == job_id)
            .values(state=JobState.CANCELLING, cancel_mode=mode, cancelling_at=now(session))
        )


def state_of(database: Database, job_id: uuid.UUID) -> JobState:
    with database.reading() as session:
        return session.scalars(select(JobRecord.state).where(JobRecord.id == job_id)).one()


def results_of(database: Database, job_id: uuid.UUID) -> dict[ItemState, int]:
    with database.reading() as session:
        rows = session.execute(
            select(ResultRecord.state, func.count()).where(ResultRecord.job_id == job_id).group_by(ResultRecord.state)
        )
        return {row.state: row[1] for row in rows}


def come_back_now(database: Database, job_id: uuid.UUID) -> None:
    """Let the pause of a step that waits be over."""
    with database.transaction() as session:
        session.execute(update(JobRecord).where(JobRecord.id == job_id).values(lease_expires_at=None))


def test_stopping_now_takes_leased_shards_back_and_their_workers_record_nothing_more(database: Database) -> None:
    with database.transaction() as session:
        job_id = make_job(session, items=6, shard_size=2).id
    claimed = claim_shard(database)
    stop(database, job_id, CancelMode.NOW)
    step(database)
    with pytest.raises(LeaseLost):
        settle_all(database, claimed)
    assert state_of(database, job_id) is JobState.FINISHING
    assert results_of(database, job_id) == {ItemState.CANCELLED: 6}


def test_nothing_is_recorded_from_the_commit_of_a_cancel_on(database: Database) -> None:
    with database.transaction() as session:
        job_id = make_job(session, items=4, shard_size=2).id
    settled, held = claim_shard(database), claim_shard(database)
    settle_all(database, settled)
    with database.transaction() as session:
        status, cancelling = controls.cancel(session, Tenant(id=TENANT, allowed_prefixes=()), job_id)
    assert cancelling
    with pytest.raises(LeaseLost):  # before anybody has begun to cancel what is pending
        settle_all(database, held)
    step(database)
    assert results_of(database, job_id) == {ItemState.SUCCEEDED: status.counts.succeeded, ItemState.CANCELLED: 2}


def test_draining_cancels_what_waits_and_lets_workers_finish_what_they_hold(database: Database) -> None:
    with database.transaction() as session:
        job_id = make_job(session, items=6, shard_size=2).id
    claimed = claim_shard(database)
    stop(database, job_id, CancelMode.DRAIN)
    step(database)
    assert state_of(database, job_id) is JobState.CANCELLING
    assert results_of(database, job_id) == {ItemState.CANCELLED: 4}
    with database.transaction() as session:
        assert leases.renew(session, [claimed.lease], lease_seconds=60) == {claimed.lease: True}, "still wanted"
    settle_all(database, claimed)
    come_back_now(database, job_id)
    step(database)
    assert state_of(database, job_id) is JobState.FINISHING
    assert results_of(database, job_id) == {ItemState.CANCELLED: 4, ItemState.SUCCEEDED: 2}


def test_a_lease_that_expires_while_its_job_drains_is_cancelled(database: Database) -> None:
    with database.transaction() as session:
        job_id = make_job(session, state=JobState.RUNNING, items=4, shard_size=2).id
        lease(session, session.get_one(ShardRecord, (job_id, 0)), seconds=-1)
        lease(session, session.get_one(ShardRecord, (job_id, 1)), seconds=60)
    stop(database, job_id, CancelMode.DRAIN)
    step(database)
    assert state_of(database, job_id) is JobState.CANCELLING
    assert results_of(database, job_id) == {ItemState.CANCELLED: 2}


def test_a_shard_that_is_given_back_while_its_job_drains_is_cancelled(database: Database) -> None:
    with database.transaction() as session:
        job_id = make_job(session, items=2).id
    claimed = claim_shard(database)
    stop(database, job_id, CancelMode.DRAIN)
    step(database)
    with database.transaction() as session:
        leases.release(session, claimed.lease)
    come_back_now(database, job_id)
    step(database)
    assert state_of(database, job_id) is JobState.FINISHING
    assert results_of(database, job_id) == {ItemState.CANCELLED: 2}


def test_a_job_that_waits_for_its_drain_lets_other_jobs_have_their_turn(database: Database) -> None:
    with database.transaction() as session:
        draining = make_job(session, state=JobState.RUNNING, items=2, priority=9).id
        lease(session, session.get_one(ShardRecord, (draining, 0)), seconds=60)
        other = make_job(session, state=JobState.CANCELLING, items=2).id
    stop(database, draining, CancelMode.DRAIN)
    assert step(database).job_id == draining
    assert step(database).job_id == other
    with database.reading() as session:
        again_at = session.scalars(select(JobRecord.lease_expires_at).where(JobRecord.id == draining)).one()
    assert again_at is not None, "it comes back by itself"


def test_a_drain_can_be_made_a_stop(database: Database) -> None:
    with database.transaction() as session:
        job_id = make_job(session, items=2).id
    claim_shard(database)
    stop(database, job_id, CancelMode.DRAIN)
    step(database)
    stop(database, job_id, CancelMode.NOW)
    come_back_now(database, job_id)
    step(database)
    assert state_of(database, job_id) is JobState.FINISHING


def test_settled_items_of_a_shard_stay_as_they_are(database: Database) -> None:
    with database.transaction() as session:
        job_id = make_job(session, items=5).id
    claimed = claim_shard(database)
    with database.transaction() as session:
        done = [ItemResult(item_no=number, state=ItemState.SUCCEEDED, sha256="00", bytes=1) for number in (1, 3)]
        factories.settle(session, claimed.lease, done)
    stop(database, job_id, CancelMode.NOW)
    step(database)
    assert results_of(database, job_id) == {ItemState.CANCELLED: 3, ItemState.SUCCEEDED: 2}
    with database.reading() as session:
        shard = session.scalars(select(ShardRecord)).one()
    assert (shard.succeeded_count, shard.cancelled_count, shard.state) == (2, 3, ShardState.ENDED)


def test_eight_thousand_shards_are_cancelled_in_batches_quickly(database: Database) -> None:
    shards = 8_000
    with database.transaction() as session:
        job = make_job(session, state=JobState.CANCELLING, planned_item_count=shards, planned_shard_count=shards)
        append(session, ItemRecord, [item_row(job, number) for number in range(shards)])
        append(session, ShardRecord, [shard_row(job.id, number) for number in range(shards)])
    start = time.monotonic()
    step(database)
    seconds = time.monotonic() - start
    assert state_of(database, job.id) is JobState.FINISHING
    assert results_of(database, job.id) == {ItemState.CANCELLED: shards}
    assert seconds < 60, f"{shards // BATCH_SHARDS} transactions took {seconds:.1f} s"


def shard_row(job_id: uuid.UUID, number: int) -> dict[str, object]:
    counts = ("succeeded_count", "reused_count", "rejected_count", "failed_count", "cancelled_count")
    return {
        "job_id": job_id,
        "shard_no": number,
        "first_item_no": number,
        "end_item_no": number + 1,
        "item_count": 1,
        "state": ShardState.READY,
        "attempt": 0,
        "lease_token": 0,
        "postponed_count": 0,
        **dict.fromkeys(counts, 0),
        "measures": None,
    }


def test_a_shard_whose_row_is_held_by_another_transaction_is_not_waited_for(postgres_url: str) -> None:
    database = Database(postgres_url)
    with database.transaction() as session:
        job_id = make_job(session, items=4, shard_size=2).id
    claimed = claim_shard(database)
    stop(database, job_id, CancelMode.NOW)
    with database.transaction() as writing:
        writing.execute(
            update(ShardRecord)
            .where(ShardRecord.shard_no == claimed.lease.shard_no)
            .values(lease_expires_at=now(writing) + datetime.timedelta(seconds=60))
        )
        step(database)  # would wait here for ever: this very thread holds the row
    assert state_of(database, job_id) is JobState.CANCELLING
    come_back_now(database, job_id)
    step(database)
    assert state_of(database, job_id) is JobState.FINISHING
    database.close()
