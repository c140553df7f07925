"""Which jobs and shards may be claimed at a moment, as conditions of statements.

States are written into the statements, not sent beside them: only so do planners see that a partial index will do.
"""

from __future__ import annotations

import datetime
import uuid
from typing import TypeAlias

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, exists, func, literal, null, or_, select
from sqlalchemy.orm import QueryableAttribute, aliased

from jobs.records import JobRecord, ShardRecord
from jobs.states import CLAIMABLE, JobState, ShardState

# Values, or parts of statements that stand for them: those that are asked all the time are built only once.
Moment: TypeAlias = datetime.datetime | ColumnElement[datetime.datetime]
WorkerId: TypeAlias = uuid.UUID | ColumnElement[uuid.UUID]


def is_open(job: type[JobRecord] = JobRecord) -> ColumnElement[bool]:
    """Jobs that have not ended."""
    return job.state != literal(JobState.ENDED, JobRecord.state.type, literal_execute=True)


def runnable(moment: Moment, job: type[JobRecord] = JobRecord) -> ColumnElement[bool]:
    """Jobs whose state and times let them run."""
    return and_(
        job.state.in_(CLAIMABLE),
        or_(job.not_before_at.is_(None), job.not_before_at <= moment),
        or_(job.deadline_at.is_(None), job.deadline_at > moment),
    )


def ready() -> ColumnElement[bool]:
    """Shards that wait."""
    return _in(ShardState.READY)


def never_postponed() -> ColumnElement[bool]:
    """Shards that wait for nothing but a worker."""
    return and_(ready(), ShardRecord.available_at.is_(None))


def due(moment: Moment) -> ColumnElement[bool]:
    """Shards that were postponed, and whose time has come."""
    return and_(ready(), ShardRecord.available_at <= moment)


def has_shard(moment: Moment, job: type[JobRecord] = JobRecord) -> ColumnElement[bool]:
    """Jobs with a shard to claim. Each half is one look into `ix_shards_ready`, however many shards there are."""
    of_job = ShardRecord.job_id == job.id
    return or_(exists().where(of_job, never_postponed()), exists().where(of_job, due(moment)))


def expired(moment: Moment) -> ColumnElement[bool]:
    """Shards whose worker did not renew its lease."""
    return and_(_in(ShardState.LEASED), ShardRecord.lease_expires_at < moment)


def job_of_leased(shard: type[ShardRecord] = ShardRecord) -> ColumnElement[uuid.UUID]:
    """Return the job of a shard, where the shard is one of those that are leased.

    No plain column, so that no planner walks through all shards of a job, ended ones too, to find the leased ones.
    """
    return func.coalesce(shard.job_id, null())


def has_room(moment: Moment, worker_id: WorkerId, job: type[JobRecord] = JobRecord) -> ColumnElement[bool]:
    """Jobs that may have this worker beside those that hold their shards."""
    return or_(job.max_workers.is_(None), workers_of_job(moment, worker_id, job.id) < job.max_workers)


def workers_of_job(
    moment: Moment, worker_id: WorkerId, job_id: uuid.UUID | QueryableAttribute[uuid.UUID]
) -> ScalarSelect[int]:
    """Count the workers, but for one, that hold shards of a job."""
    held = aliased(ShardRecord)
    return _others(held, moment, worker_id).where(job_of_leased(held) == job_id).scalar_subquery()


def workers_of_tenant(
    moment: Moment, worker_id: WorkerId, tenant_id: str | QueryableAttribute[str]
) -> ScalarSelect[int]:
    """Count the workers, but for one, that hold shards of a tenant."""
    held, job = aliased(ShardRecord), aliased(JobRecord)
    return (
        _others(held, moment, worker_id)
        .join(job, job.id == job_of_leased(held))
        .where(job.tenant_id == tenant_id)
        .scalar_subquery()
    )


def _others(held: type[ShardRecord], moment: Moment, worker_id: WorkerId) -> Select[int]:
    # A look at what the fleet holds at this moment: that does not grow with the shards.
    return select(func.count(held.worker_id.distinct())).where(
        _in(ShardState.LEASED, held), held.lease_expires_at >= moment, held.worker_id != worker_id
    )


def _in(state: ShardState, shard: type[ShardRecord] = ShardRecord) -> ColumnElement[bool]:
    return shard.state == literal(state, ShardRecord.state.type, literal_execute=True)
