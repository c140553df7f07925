"""Breakers: a job of which too much fails, and a job that kills its workers."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import update

from jobs.database import Database
from jobs.failure_policy import ITEMS_PER_RESCUE, MIN_RESCUES, enforce, start_afresh
from jobs.moves import move
from jobs.recipes import FailurePolicy
from jobs.records import JobRecord, ShardRecord
from jobs.states import ItemState, JobState, ShardState
from tests.factories import make_job, make_results
from tests.jobs.test_claims import job_of
from tests.jobs.test_leases import OTHER, claim, expire, must_claim


def failing_job(database: Database, *, failed: int, good: int, items: int = 200, **policy: Any) -> uuid.UUID:
    """A running job in which so many items failed and so many succeeded."""
    with database.transaction() as session:
        job = make_job(
            session,
            state=JobState.RUNNING,
            items=items,
            shard_size=10,
            failure_policy=FailurePolicy(**policy).model_dump(mode="json"),
        )
        make_results(session, job, range(failed), ItemState.FAILED)
        make_results(session, job, range(failed, failed + good))
        return job.id


def enforced(database: Database, job_id: uuid.UUID) -> bool:
    with database.transaction() as session:
        return enforce(session, job_id)


def resume(database: Database, job_id: uuid.UUID) -> None:
    with database.transaction() as session:
        assert move(session, job_id, JobState.QUEUED, actor="tenant")
        start_afresh(session, job_id)


def settle_more(database: Database, job_id: uuid.UUID, numbers: range, state: ItemState) -> None:
    with database.transaction() as session:
        make_results(session, session.get_one(JobRecord, job_id), numbers, state)


def test_a_job_of_which_too_large_a_share_failed_is_paused_with_the_reason(database: Database) -> None:
    job_id = failing_job(database, failed=51, good=49)
    assert enforced(database, job_id)
    job = job_of(database, job_id)
    assert job.state is JobState.PAUSED
    assert job.pause_reason is not None
    assert job.pause_reason["code"] == "too_many_failures"
    assert "51 of 100" in job.pause_reason["message"]
    assert claim(database) is None
    assert not enforced(database, job_id), "it is paused already"


@pytest.mark.parametrize(
    ("failed", "good", "policy"),
    [
        (50, 50, {}),  # exactly the share that is accepted
        (99, 0, {}),  # too few to say anything
        (100, 0, {"action": "ignore"}),
        (10, 90, {"max_failed_share": 0.1}),
    ],
)
def test_a_job_goes_on_within_its_policy(database: Database, failed: int, good: int, policy: dict[str, Any]) -> None:
    job_id = failing_job(database, failed=failed, good=good, **policy)
    assert not enforced(database, job_id)
    assert job_of(database, job_id).state is JobState.RUNNING


def test_a_job_of_fewer_items_than_the_policy_asks_for_never_trips(database: Database) -> None:
    job_id = failing_job(database, failed=99, good=0, items=99)
    assert not enforced(database, job_id)


def test_a_job_may_ask_to_be_stopped_instead(database: Database) -> None:
    job_id = failing_job(database, failed=3, good=2, action="cancel", min_items=5, max_failed_share=0)
    assert enforced(database, job_id)
    job = job_of(database, job_id)
    assert job.state is JobState.CANCELLING
    assert job.error is not None
    assert job.error["code"] == "too_many_failures"


def test_a_resumed_job_trips_again_only_by_what_came_after(database: Database) -> None:
    job_id = failing_job(database, failed=100, good=0, min_items=50)
    assert enforced(database, job_id)
    resume(database, job_id)
    assert not enforced(database, job_id)
    settle_more(database, job_id, range(100, 149), ItemState.FAILED)
    assert not enforced(database, job_id), "49 since then say nothing yet"
    settle_more(database, job_id, range(149, 150), ItemState.FAILED)
    assert enforced(database, job_id)


def rescue_one(database: Database) -> bool:
    """Let a worker die of a shard; return whether another took it over."""
    expire(database, must_claim(database))
    return claim(database, OTHER) is not None


def set_rescues(database: Database, job_id: uuid.UUID, count: int) -> None:
    with database.transaction() as session:
        session.execute(update(JobRecord).where(JobRecord.id == job_id).values(rescued_count=count))


def test_a_job_that_kills_worker_after_worker_is_paused_with_the_reason(database: Database) -> None:
    job_id = failing_job(database, failed=0, good=100)
    set_rescues(database, job_id, MIN_RESCUES - 1)
    assert not rescue_one(database)
    job = job_of(database, job_id)
    assert job.state is JobState.PAUSED
    assert job.pause_reason is not None
    assert job.pause_reason["code"] == "workers_crash"
    assert job.rescued_count == MIN_RESCUES
    with database.reading() as session:
        shard = session.get_one(ShardRecord, (job_id, 10))
        assert (shard.state, shard.worker_id) == (ShardState.READY, None)


def test_deaths_that_are_few_for_the_work_done_stop_nothing(database: Database) -> None:
    good = MIN_RESCUES * ITEMS_PER_RESCUE
    job_id = failing_job(database, failed=0, good=good, items=good + 10)
    set_rescues(database, job_id, MIN_RESCUES - 1)
    assert rescue_one(database)
    assert job_of(database, job_id).state is JobState.RUNNING


def test_a_resumed_job_may_kill_as_many_workers_again(database: Database) -> None:
    job_id = failing_job(database, failed=0, good=100)
    set_rescues(database, job_id, MIN_RESCUES - 1)
    assert not rescue_one(database)
    resume(database, job_id)
    assert rescue_one(database)
    assert job_of(database, job_id).rescued_count == MIN_RESCUES + 1
