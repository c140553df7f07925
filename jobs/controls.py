"""What a person may ask of a job that exists. Each takes effect at once, because claims look at the job's state."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from jobs.database import now
from jobs.moves import move
from jobs.queries import JobStatus, job_status
from jobs.states import CancelMode, JobState
from jobs.tenants import Tenant


def cancel(session: Session, tenant: Tenant, job_id: uuid.UUID) -> tuple[JobStatus, bool]:
    """Stop a job: what has settled stays, what is pending gets cancelled. Safe to call twice.

    Return the job, and whether it is being cancelled: one that was finishing or had ended stays as it is.

    Raises:
        NotFound: the tenant has no such job.

    """
    job_status(session, tenant, job_id)
    move(session, job_id, JobState.CANCELLING, actor="tenant", cancelling_at=now(session), cancel_mode=CancelMode.NOW)
    status = job_status(session, tenant, job_id)
    return status, status.job.state is JobState.CANCELLING
