"""Write an accepted request as one row: from its commit on, the job exists.

What may be enqueued is decided before, in `jobs.checks`. The caller rings a doorbell after the commit.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from jobs import events
from jobs.checks import CheckedRequest, request_sha256
from jobs.database import now
from jobs.errors import InvalidRequest, Problem
from jobs.expiry import free_key, unexpired
from jobs.locations import Location
from jobs.recipes import JobRequest, JobSource
from jobs.records import JobRecord
from jobs.settings import Settings
from jobs.states import JobState
from jobs.tenants import Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """The job of a request."""

    job: JobRecord
    replayed: bool  # an equal request with the same idempotency key had made it before


def find_replay(session: Session, tenant: Tenant, request: JobRequest, idempotency_key: str | None) -> JobRecord | None:
    """Return the job that an equal request made under this key, if there is one.

    Raises:
        InvalidRequest: another request has used this key.

    """
    return _job_of_key(session, tenant, request_sha256(request), idempotency_key)


def enqueue(
    session: Session,
    checked: CheckedRequest,
    tenant: Tenant,
    *,
    settings: Settings,
    idempotency_key: str | None = None,
) -> Enqueued:
    """Insert the job. Of several equal requests with one key at once, one inserts and the others get its job.

    Raises:
        InvalidRequest: another request has used this key meanwhile.

    """
    job = _new_job(checked, tenant, settings)
    job.idempotency_key = idempotency_key
    job.created_at = now(session)
    if idempotency_key is not None:
        free_key(session, tenant.id, idempotency_key)
    try:
        with session.begin_nested():
            session.add(job)
            session.flush()
            events.record(session, tenant.id, job.id, "job.enqueued", actor="tenant")
    except IntegrityError:
        # The unique key decides the race: whoever lost it finds the winner's row, committed by now.
        winner = _job_of_key(session, tenant, checked.sha256, idempotency_key)
        if winner is None:
            raise
        return Enqueued(job=winner, replayed=True)
    return Enqueued(job=job, replayed=False)


def _new_job(checked: CheckedRequest, tenant: Tenant, settings: Settings) -> JobRecord:
    job_id = uuid7()
    request = checked.request
    own = Location.parse(settings.storage_url, field="storage_url").child(f"{tenant.folder}results/{job_id}/")
    return JobRecord(
        id=job_id,
        tenant_id=tenant.id,
        state=JobState.PLANNING,
        queue=settings.queue,
        priority=request.priority,
        max_workers=request.max_workers,
        not_before_at=request.not_before_at,
        deadline_at=request.deadline_at,
        require_confirmation=request.require_confirmation,
        failure_policy=request.failure_policy.model_dump(mode="json"),
        retention_days=request.retention.days if request.retention else None,
        outputs_expire=request.retention is not None and request.retention.outputs == "delete",
        recipe=checked.recipe.model_dump(mode="json"),
        recipe_fingerprint=checked.fingerprint,
        style_id=checked.style_id,
        source=checked.source.model_dump(mode="json"),
        output_url=str(checked.output or own),
        parent_job_id=checked.source.job_id if isinstance(checked.source, JobSource) else None,
        request_sha256=checked.sha256,
    )


def _job_of_key(session: Session, tenant: Tenant, sha256: str, idempotency_key: str | None) -> JobRecord | None:
    if idempotency_key is None:
        return None
    job = session.scalar(
        select(JobRecord).where(
            JobRecord.tenant_id == tenant.id, JobRecord.idempotency_key == idempotency_key, unexpired()
        )
    )
    if job is not None and job.request_sha256 != sha256:
        remedy = f"choose a new key: this one belongs to another request, which made job {job.id}"
        problem = Problem(field="header.Idempotency-Key", value=idempotency_key, remedy=remedy)
        raise InvalidRequest(problem, code="idempotency_key_reused")
    return job
