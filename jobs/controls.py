"""What a person may ask of a job that exists. Each takes effect at once, because claims look at the job's row.

Every call is safe to repeat: a job that is already where it was asked to be stays as it is. `versions`: only while it
is at one of these; None: at any.
"""

from __future__ import annotations

import uuid
from collections.abc import Container
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs import events
from jobs.checks import check_times
from jobs.database import now
from jobs.errors import Conflict, NotFound, Stale
from jobs.failure_policy import start_afresh
from jobs.moves import move
from jobs.queries import JobStatus, job_status
from jobs.recipes import starts_while_planned
from jobs.records import JobRecord
from jobs.requests import JobChanges
from jobs.shards import take_back
from jobs.states import CancelMode, JobState
from jobs.tenants import Tenant

REQUESTED = {"code": "requested", "message": "a person paused it: resume it to go on"}
STOPPED = frozenset({JobState.CANCELLING, JobState.FINISHING, JobState.ENDED})


def pause(session: Session, tenant: Tenant, job_id: uuid.UUID, *, versions: Container[int] | None = None) -> JobStatus:
    """Let nothing more of a job be claimed; what is on a device is finished. Planning goes on.

    Raises:
        NotFound: the tenant has no such job.
        Stale: it is at another version.
        Conflict: it is being cancelled, is finishing, or has ended.

    """
    job = _locked(session, tenant, job_id, versions)
    if job.state is not JobState.PAUSED and not pause_locked(session, job):
        raise _too_late(job, "paused")
    return job_status(session, tenant, job_id)


def resume(session: Session, tenant: Tenant, job_id: uuid.UUID, *, versions: Container[int] | None = None) -> JobStatus:
    """Let a paused job go on; this also confirms one that waits for its confirmation.

    Raises:
        NotFound: the tenant has no such job.
        Stale: it is at another version.
        Conflict: it is being cancelled, is finishing, or has ended.

    """
    job = _locked(session, tenant, job_id, versions)
    if job.state in STOPPED:
        raise _too_late(job, "resumed")
    resume_locked(session, job)
    return job_status(session, tenant, job_id)


def cancel(
    session: Session,
    tenant: Tenant,
    job_id: uuid.UUID,
    *,
    mode: CancelMode = CancelMode.NOW,
    versions: Container[int] | None = None,
) -> tuple[JobStatus, bool]:
    """Stop a job: what has settled stays, what is pending gets cancelled.

    One that drains can still be told to stop now. Return the job, and whether it is being cancelled: one that was
    finishing or had ended stays as it is.

    Raises:
        NotFound: the tenant has no such job.
        Stale: it is at another version.

    """
    job = _locked(session, tenant, job_id, versions)
    cancel_locked(session, job, mode)
    status = job_status(session, tenant, job_id)
    return status, status.job.state is JobState.CANCELLING


def change(
    session: Session, tenant: Tenant, job_id: uuid.UUID, changes: JobChanges, *, versions: Container[int] | None = None
) -> JobStatus:
    """Change how a job that has not ended is run.

    Raises:
        NotFound: the tenant has no such job.
        Stale: it is at another version.
        Conflict: it has ended.
        InvalidRequest: the new times contradict each other or the clock.

    """
    job = _locked(session, tenant, job_id, versions)
    if job.state is JobState.ENDED:
        raise _too_late(job, "changed")
    after = changes.model_dump(mode="python", exclude_unset=True)
    if "failure_policy" in after:
        after["failure_policy"] = changes.failure_policy.model_dump(mode="json")
    before = {name: getattr(job, name) for name in after}
    after = {name: value for name, value in after.items() if value != before[name]}
    if after:
        check_times(
            now(session),
            not_before_at=after.get("not_before_at", job.not_before_at),
            deadline_at=after.get("deadline_at", job.deadline_at),
            given=after,
        )
        _set(session, job, after)
    return job_status(session, tenant, job_id)


def pause_locked(session: Session, job: JobRecord) -> bool:
    """Pause a job whose row is locked. Return whether its state allows that."""
    return move(session, job.id, JobState.PAUSED, actor="tenant", paused_at=now(session), pause_reason=REQUESTED.copy())


def resume_locked(session: Session, job: JobRecord) -> bool:
    """Resume a job whose row is locked. Return whether it was paused.

    One that is not planned yet goes back to planning where nothing may run before its plan is complete.
    """
    columns: dict[str, Any] = {}
    target = JobState.QUEUED
    if job.planned_at is not None:
        columns = {"require_confirmation": False}
    elif job.require_confirmation or not (starts_while_planned(job.source) and job.planned_shard_count):
        target = JobState.PLANNING
    if not move(session, job.id, target, actor="tenant", only_from={JobState.PAUSED}, **columns):
        return False
    start_afresh(session, job.id)
    return True


def cancel_locked(session: Session, job: JobRecord, mode: CancelMode) -> bool:
    """Cancel a job whose row is locked. Return whether anything changed.

    Mode `now`: once this is committed, nothing that runs is recorded any more.
    """
    if job.state is JobState.CANCELLING and job.cancel_mode is CancelMode.DRAIN and mode is CancelMode.NOW:
        _set(session, job, {"cancel_mode": mode})
        changed = True
    else:
        moment = now(session)
        changed = move(session, job.id, JobState.CANCELLING, actor="tenant", cancelling_at=moment, cancel_mode=mode)
    if changed and mode is CancelMode.NOW:
        take_back(session, job.id)
    return changed


def check_version(job: JobRecord, versions: Container[int] | None) -> None:
    """Refuse what was decided about a job as it was.

    Raises:
        Stale: it is at another version.

    """
    if versions is not None and job.version not in versions:
        raise Stale(f"the job is at version {job.version} by now: look at it again, then decide anew")


def _locked(session: Session, tenant: Tenant, job_id: uuid.UUID, versions: Container[int] | None) -> JobRecord:
    job = session.scalar(
        select(JobRecord).where(JobRecord.tenant_id == tenant.id, JobRecord.id == job_id).with_for_update()
    )
    if job is None:
        raise NotFound(f"there is no job {job_id}")
    check_version(job, versions)
    return job


def _set(session: Session, job: JobRecord, after: dict[str, Any]) -> None:
    """Set columns of a locked job, and tell of it."""
    before = {name: getattr(job, name) for name in after}
    for name, value in after.items():
        setattr(job, name, value)
    job.version += 1
    session.flush()
    events.record(
        session, job.tenant_id, job.id, "job.changed", actor="tenant", before=_plain(before), after=_plain(after)
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as JSON has them."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in values.items()}


def _too_late(job: JobRecord, done: str) -> Conflict:
    remedies = {
        JobState.CANCELLING: "it cannot be stopped from stopping: retry its cancelled items once it has ended",
        JobState.FINISHING: "every item is settled: wait until it has ended",
        JobState.ENDED: f"retry what did not succeed with POST /v1/jobs/{job.id}/retry, or enqueue a new job",
    }
    return Conflict(f"the job is {job.state.value} and cannot be {done}: {remedies[job.state]}", code="wrong_state")
