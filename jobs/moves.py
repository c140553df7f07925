"""Moves of a job between its states: each is one guarded statement, and one event."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from jobs import events
from jobs.database import now, storable
from jobs.events import Actor
from jobs.records import JobRecord
from jobs.states import JobState, sources


def move(
    session: Session,
    job_id: uuid.UUID,
    target: JobState,
    *,
    actor: Actor = "service",
    only_from: Collection[JobState] | None = None,
    **columns: Any,
) -> bool:
    """Move a job to `target` and set further columns with it. Return False where the job is not where it must be.

    `only_from` narrows the states that the table of moves allows.
    """
    allowed = sources(target) if only_from is None else sources(target) & frozenset(only_from)
    if target is not JobState.PAUSED:
        columns |= {"paused_at": None, "pause_reason": None}
    moved = session.execute(
        update(JobRecord)
        .where(JobRecord.id == job_id, JobRecord.state.in_(allowed))
        .values(state=target, version=JobRecord.version + 1, **columns)
        .returning(JobRecord.tenant_id, JobRecord.outcome, JobRecord.pause_reason, JobRecord.error)
    ).one_or_none()
    if moved is None:
        return False
    facts = {"outcome": moved.outcome, "reason": moved.pause_reason, "error": moved.error}
    told = {name: value for name, value in facts.items() if value is not None}
    events.record(session, moved.tenant_id, job_id, f"job.{target.value}", actor=actor, **told)
    return True


def fail(session: Session, job_id: uuid.UUID, *, code: str, message: str, **facts: Any) -> bool:
    """Stop a whole job for a reason. What is pending gets cancelled; the job ends as failed."""
    error = {"code": code, "message": storable(message), **facts}
    return move(session, job_id, JobState.CANCELLING, cancelling_at=now(session), error=error)
