"""What workers do now and then."""

from __future__ import annotations

import datetime

import pytest
from sqlalchemy import text

from jobs.database import Database, now
from jobs.maintenance import expire_jobs, waiting_queues
from jobs.states import CancelMode, JobState, ShardState, sources
from tests.factories import make_job
from tests.jobs.test_claims import HOUR, add_job, change_job, change_shards, clock, job_of
from tests.jobs.test_queries import recorded

PAST = datetime.timedelta(seconds=-1)


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.ENDED])
def test_a_job_past_its_deadline_is_stopped_wherever_it_can_be(database: Database, state: JobState) -> None:
    with database.transaction() as session:
        late = make_job(session, state=state, items=1, deadline_at=now(session) + PAST).id
        others = [
            make_job(session, state=state, items=1).id,
            make_job(session, state=state, items=1, deadline_at=now(session) + HOUR).id,
        ]
    with database.transaction() as session:
        stopped = expire_jobs(session)
    if state not in sources(JobState.CANCELLING):
        assert stopped == []
        return
    assert stopped == [late]
    job = job_of(database, late)
    assert job.state is JobState.CANCELLING
    assert job.cancel_mode is CancelMode.NOW
    assert job.expired_at == job.cancelling_at is not None
    assert all(job_of(database, other).state is state for other in others)
    with database.transaction() as session:
        assert expire_jobs(session) == []


def test_deadlines_are_found_by_their_own_index(database: Database) -> None:
    postgres = database.engine.dialect.name == "postgresql"
    with database.transaction() as session:
        for number in range(500):
            make_job(session, state=JobState.QUEUED, deadline_at=now(session) + HOUR * (number + 1))
        session.execute(text("ANALYZE"))
    with recorded(database) as statements, database.transaction() as session:
        expire_jobs(session)
    ((statement, parameters),) = [given for given in statements if "deadline_at" in given[0]]
    with database.engine.connect() as connection:
        explain = f"{'EXPLAIN' if postgres else 'EXPLAIN QUERY PLAN'} {statement}"
        plan = "\n".join(map(str, connection.exec_driver_sql(explain, parameters)))
    assert "ix_jobs_deadline_at" in plan


def test_only_work_that_can_be_claimed_now_is_rung_for(database: Database) -> None:
    def queues() -> list[str]:
        with database.reading() as session:
            return waiting_queues(session)

    job_id = add_job(database, items=1, queue="cpu")
    assert queues() == ["cpu"]
    change_shards(database, job_id, 0, available_at=clock(database) + HOUR)
    assert queues() == []
    change_shards(database, job_id, 0, available_at=clock(database))
    assert queues() == ["cpu"]
    change_job(database, job_id, not_before_at=clock(database) + HOUR)
    assert queues() == []
    change_job(database, job_id, not_before_at=None, state=JobState.PAUSED)
    assert queues() == []
    change_job(database, job_id, state=JobState.RUNNING)
    change_shards(database, job_id, 0, state=ShardState.ENDED)
    assert queues() == []
