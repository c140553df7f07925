"""When a job is past its retention. For callers it is gone at that moment; `jobs.retention` removes it bit by bit."""

from __future__ import annotations

import datetime

from sqlalchemy import ColumnElement, or_, update
from sqlalchemy.orm import Session

from jobs.database import clock
from jobs.records import JobRecord


def expires_at(job: JobRecord, ended_at: datetime.datetime) -> datetime.datetime | None:
    """Return until when an ended job is kept; None: for ever."""
    return None if job.retention_days is None else ended_at + datetime.timedelta(days=job.retention_days)


def unexpired() -> ColumnElement[bool]:
    """Whether a job is within its retention."""
    return or_(JobRecord.expires_at.is_(None), JobRecord.expires_at > clock())


def free_key(session: Session, tenant_id: str, idempotency_key: str) -> None:
    """Let a new job have the key of one that has expired."""
    session.execute(
        update(JobRecord)
        .where(JobRecord.tenant_id == tenant_id, JobRecord.idempotency_key == idempotency_key, ~unexpired())
        .values(idempotency_key=None)
        .execution_options(synchronize_session=False)
    )
