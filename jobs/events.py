"""Events: what happened to jobs, for audit, for those who watch, and for webhooks."""

from __future__ import annotations

import uuid
from typing import Any, Literal

from sqlalchemy import insert
from sqlalchemy.orm import Session

from jobs.database import now
from jobs.records import EventRecord

Actor = Literal["tenant", "worker", "service"]


def record(session: Session, tenant_id: str, job_id: uuid.UUID, kind: str, *, actor: Actor, **data: Any) -> None:
    """Append an event in the transaction in which it happens. The job's row must be locked by it, or new."""
    session.execute(
        insert(EventRecord).values(
            tenant_id=tenant_id, job_id=job_id, kind=kind, actor=actor, data=data, happened_at=now(session)
        )
    )
