"""What any worker does now and then, so that nothing waits for a process that died between two steps."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import exists, or_, select, update
from sqlalchemy.orm import Session

from jobs import events
from jobs.claimable import has_shard, is_open, runnable
from jobs.database import ReadSession, now
from jobs.moves import move
from jobs.records import JobRecord, ShardRecord
from jobs.states import CancelMode, JobState, ShardState, sources


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
        .values(state=JobState.FINISHING, version=JobRecord.version + 1, paused_at=None, pause_reason=None)
        .returning(JobRecord.id, JobRecord.tenant_id)
        .execution_options(synchronize_session=False)
    )
    if job_id is not None:
        statement = statement.where(JobRecord.id == job_id)
    moved = session.execute(statement).all()
    for job in moved:
        events.record(session, job.tenant_id, job.id, f"job.{JobState.FINISHING.value}", actor="service")
    return [job.id for job in moved]


def expire_jobs(session: Session) -> list[uuid.UUID]:
    """Stop jobs whose deadline has passed; they end as expired. Return those that were stopped.

    Cheap enough for every poll: one look into `ix_jobs_deadline_at`. Claims see a deadline by themselves, so nothing
    starts after it even where nobody calls this in time.
    """
    moment = now(session)
    passed = session.scalars(
        select(JobRecord.id).where(
            JobRecord.deadline_at <= moment, is_open(), JobRecord.state.in_(sources(JobState.CANCELLING))
        )
    )
    stopped: dict[str, Any] = {"cancelling_at": moment, "expired_at": moment, "cancel_mode": CancelMode.NOW}
    return [job_id for job_id in passed.all() if move(session, job_id, JobState.CANCELLING, **stopped)]


def waiting_queues(session: ReadSession) -> list[str]:
    """Return the queues in which work waits to be claimed: their doorbells may have been lost."""
    moment = now(session)
    return list(
        session.scalars(select(JobRecord.queue).where(is_open(), runnable(moment), has_shard(moment)).distinct())
    )
