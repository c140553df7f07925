"""What any worker does now and then, so that nothing waits for a process that died between two steps."""

from __future__ import annotations

import uuid

from sqlalchemy import exists, or_, select, update
from sqlalchemy.orm import Session

from jobs.database import ReadSession
from jobs.records import JobRecord, ShardRecord
from jobs.states import CLAIMABLE, JobState, ShardState, sources


def start_finishing(session: Session, job_id: uuid.UUID | None = None) -> list[uuid.UUID]:
    """Move jobs whose last item has settled to finishing; one job, or all. Return those that moved.

    Runs in a transaction of its own after a shard has ended: two workers that end the last two shards at the
    same moment do not see each other's, but whichever commits last sees both here.
    """
    # Two questions, not one "has not ended": each has a partial index that does not grow with the shards that ended.
    of_job = ShardRecord.job_id == JobRecord.id
    open_shard = or_(
        exists().where(of_job, ShardRecord.state == ShardState.READY),
        exists().where(of_job, ShardRecord.state == ShardState.LEASED),
    )
    statement = (
        update(JobRecord)
        .where(
            JobRecord.state.in_(sources(JobState.FINISHING) - {JobState.CANCELLING, JobState.PLANNING}),
            JobRecord.planned_at.is_not(None),
            ~open_shard,
        )
        .values(state=JobState.FINISHING)
        .returning(JobRecord.id)
        .execution_options(synchronize_session=False)
    )
    if job_id is not None:
        statement = statement.where(JobRecord.id == job_id)
    return list(session.scalars(statement))


def waiting_queues(session: ReadSession) -> list[str]:
    """Return the queues in which work waits to be claimed: their doorbells may have been lost."""
    ready = exists().where(ShardRecord.job_id == JobRecord.id, ShardRecord.state == ShardState.READY)
    return list(session.scalars(select(JobRecord.queue).where(JobRecord.state.in_(CLAIMABLE), ready).distinct()))
