"""Moves of a job between its states: each is one guarded statement."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from jobs.database import now, storable
from jobs.records import JobRecord
from jobs.states import JobState, sources


def move(session: Session, job_id: uuid.UUID, target: JobState, **columns: Any) -> bool:
    """Move a job to `target` and set further columns with it. Return False where the job is not where it must be."""
    moved = session.execute(
        update(JobRecord)
        .where(JobRecord.id == job_id, JobRecord.state.in_(sources(target)))
        .values(state=target, **columns)
        .returning(JobRecord.id)
    )
    return moved.scalar_one_or_none() is not None


def fail(session: Session, job_id: uuid.UUID, *, code: str, message: str, **facts: Any) -> bool:
    """Stop a whole job for a reason. What is pending gets cancelled; the job ends as failed."""
    error = {"code": code, "message": storable(message), **facts}
    return move(session, job_id, JobState.CANCELLING, cancelling_at=now(session), error=error)
