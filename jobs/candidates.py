"""What a claim may choose from: expired leases, and jobs with shards to claim, in the order to run them."""

from __future__ import annotations

import datetime
import itertools
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CTE, ColumnElement, Row, ScalarSelect, Select, String, Uuid, bindparam, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from jobs import claimable, tenant_shares
from jobs.fairness import Share, turns
from jobs.records import JobRecord, ShardRecord, TenantRecord, UtcDateTime
from jobs.states import JobState

_MOMENT = bindparam("moment", type_=UtcDateTime())
_WORKER_ID = bindparam("worker_id", type_=Uuid())
_QUEUE = bindparam("queue", type_=String())
_FIRST_JOB_ID = bindparam("first_job_id", type_=Uuid())
_TENANT_ID = bindparam("tenant_id", type_=String())

OTHER_JOBS = 16  # of a tenant, looked at when others race for the last shard of its first job
EXPIRED = 4  # leases looked at; more only matter when others race for them


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who asks for a shard, and when."""

    worker_id: uuid.UUID
    queue: str
    presence_key: int | None
    moment: datetime.datetime
    until: datetime.datetime
    at_most: int  # shards

    @property
    def parameters(self) -> dict[str, Any]:
        """What the statements of this module ask for."""
        return {"worker_id": self.worker_id, "queue": self.queue, "moment": self.moment}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A job that had a claimable shard when this claim looked."""

    job: JobRecord
    tenant: TenantRecord | None
    starts: float | None  # of the tenant's turn; None where it has no rival

    @property
    def locks(self) -> bool:
        """Whether claims of it must follow one another."""
        job = self.job
        return job.state is JobState.QUEUED or job.max_workers is not None or tenant_shares.is_limited(self.tenant)


def expired_leases(session: Session, asking: Asking) -> Sequence[Row[uuid.UUID, int, str, TenantRecord | None]]:
    """Return shards whose workers did not come back, with the tenants that they belong to."""
    return session.execute(_EXPIRED_LEASES, asking.parameters).all()


def candidates(session: Session, asking: Asking) -> Iterator[Candidate]:
    """Yield jobs in the order in which they should run: of each tenant its first one, and then what else it has."""
    rows = [
        (job, tenant)
        for job, tenant, workers in session.execute(_FIRST_JOBS, asking.parameters)
        if tenant_shares.has_room(tenant, workers) and tenant_shares.may_start(tenant, asking.moment)
    ]
    rows.sort(key=lambda row: -row[0].priority)
    for _, rivals in itertools.groupby(rows, key=lambda row: row[0].priority):
        of_tenant = {job.tenant_id: (job, tenant) for job, tenant in rivals}
        order = turns(_share(tenant_id, tenant) for tenant_id, (_, tenant) in of_tenant.items())
        for turn in order:
            first, tenant = of_tenant[turn.tenant_id]
            starts = turn.starts if len(order) > 1 else None
            yield Candidate(job=first, tenant=tenant, starts=starts)
            beside = {"tenant_id": first.tenant_id, "first_job_id": first.id}
            for other in session.scalars(_OTHER_JOBS, asking.parameters | beside).all():
                yield Candidate(job=other, tenant=tenant, starts=starts)


def _share(tenant_id: str, tenant: TenantRecord | None) -> Share:
    if tenant is None:
        return Share(tenant_id=tenant_id)
    return Share(
        tenant_id=tenant_id,
        weight=tenant.weight,
        started=tenant.virtual_start,
        finished=tenant.virtual_time,
        served_at=tenant.served_at,
    )


def _select_expired_leases() -> Select[uuid.UUID, int, str, TenantRecord | None]:
    return (
        select(ShardRecord.job_id, ShardRecord.shard_no, JobRecord.tenant_id, TenantRecord)
        .join(JobRecord, JobRecord.id == claimable.job_of_leased())
        .outerjoin(TenantRecord, TenantRecord.id == JobRecord.tenant_id)
        .where(
            claimable.expired(_MOMENT),
            JobRecord.queue == _QUEUE,
            claimable.runnable(_MOMENT),
            claimable.has_room(_MOMENT, _WORKER_ID),
            or_(TenantRecord.max_workers.is_(None), _workers_of_tenant() < TenantRecord.max_workers),
        )
        .order_by(JobRecord.priority.desc(), JobRecord.id, ShardRecord.shard_no)
        .limit(EXPIRED)
    )


def _select_first_jobs() -> Select[JobRecord, TenantRecord | None, int | None]:
    """Select of each tenant the job that should run next, with what its limits need to know."""
    tenants = _tenants_with_open_jobs()
    first = aliased(JobRecord)
    first_id = (
        select(first.id)
        .where(first.tenant_id == tenants.c.tenant_id, *_may_run(first))
        .order_by(first.priority.desc(), first.id)
        .limit(1)
        .correlate(tenants)
        .scalar_subquery()
    )
    workers = case((TenantRecord.max_workers.is_not(None), _workers_of_tenant()))
    return (
        select(JobRecord, TenantRecord, workers)
        .select_from(tenants)
        .join(JobRecord, JobRecord.id == first_id)
        .outerjoin(TenantRecord, TenantRecord.id == JobRecord.tenant_id)
    )


def _tenants_with_open_jobs() -> CTE:
    """Name each tenant once, by one look into `ix_jobs_open` for each, however many jobs they have."""
    open_jobs = (JobRecord.queue == _QUEUE, claimable.is_open())
    tenants = select(func.min(JobRecord.tenant_id).label("tenant_id")).where(*open_jobs).cte("active", recursive=True)
    following = select(func.min(JobRecord.tenant_id)).where(*open_jobs, JobRecord.tenant_id > tenants.c.tenant_id)
    return tenants.union_all(select(following.scalar_subquery()).where(tenants.c.tenant_id.is_not(None)))


def _select_other_jobs() -> Select[JobRecord]:
    return (
        select(JobRecord)
        .where(JobRecord.tenant_id == _TENANT_ID, JobRecord.id != _FIRST_JOB_ID, *_may_run(JobRecord))
        .order_by(JobRecord.priority.desc(), JobRecord.id)
        .limit(OTHER_JOBS)
    )


def _may_run(job: type[JobRecord]) -> tuple[ColumnElement[bool], ...]:
    return (
        job.queue == _QUEUE,
        claimable.is_open(job),
        claimable.runnable(_MOMENT, job),
        claimable.has_shard(_MOMENT, job),
        claimable.has_room(_MOMENT, _WORKER_ID, job),
    )


def _workers_of_tenant() -> ScalarSelect[int]:
    return claimable.workers_of_tenant(_MOMENT, _WORKER_ID, TenantRecord.id)


# Built once: to build them at each claim would take most of its time.
_EXPIRED_LEASES = _select_expired_leases()
_FIRST_JOBS = _select_first_jobs()
_OTHER_JOBS = _select_other_jobs()
