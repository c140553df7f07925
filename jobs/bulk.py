"""One control for many jobs, chosen by a filter: a bounded number of them at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from jobs.controls import cancel_locked, pause_locked, resume_locked
from jobs.records import JobRecord
from jobs.requests import BulkRequest
from jobs.states import JobState, sources
from jobs.tenants import Tenant

BATCH_JOBS = 100  # changed in one call, which is one transaction: claims of these jobs wait for its end


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkDone:
    """What a bulk request found and did."""

    matched: int  # jobs, before anything was changed
    changed: int
    queues: Collection[str]  # of the jobs that were changed

    @property
    def more(self) -> bool:
        return self.matched > self.changed


ALLOWED_FROM = {
    "pause": sources(JobState.PAUSED),
    "resume": frozenset({JobState.PAUSED}),
    "cancel": sources(JobState.CANCELLING),
}


def do_in_bulk(session: Session, tenant: Tenant, request: BulkRequest) -> BulkDone:
    """Do it to up to `BATCH_JOBS` of the jobs, the oldest first. What was changed no longer matches: call again."""
    conditions = _conditions(tenant, request)
    matched = session.scalar(select(func.count()).select_from(JobRecord).where(*conditions)) or 0
    if request.dry_run or not matched:
        return BulkDone(matched=matched, changed=0, queues=())
    jobs = session.scalars(
        select(JobRecord).where(*conditions).order_by(JobRecord.id).limit(BATCH_JOBS).with_for_update()
    ).all()
    changed = [job for job in jobs if _do(session, job, request)]
    return BulkDone(matched=max(matched, len(changed)), changed=len(changed), queues={job.queue for job in changed})


def _do(session: Session, job: JobRecord, request: BulkRequest) -> bool:
    if request.action == "pause":
        return pause_locked(session, job)
    if request.action == "resume":
        return resume_locked(session, job)
    return cancel_locked(session, job, request.mode)


def _conditions(tenant: Tenant, request: BulkRequest) -> list[ColumnElement[bool]]:
    wanted = request.filter
    states = ALLOWED_FROM[request.action] & set(wanted.states or JobState)
    conditions = [JobRecord.tenant_id == tenant.id, JobRecord.state.in_(states)]
    if wanted.created_before is not None:
        conditions.append(JobRecord.created_at < wanted.created_before)
    if wanted.created_after is not None:
        conditions.append(JobRecord.created_at >= wanted.created_after)
    if wanted.priority_below is not None:
        conditions.append(JobRecord.priority < wanted.priority_below)
    return conditions
