"""What a worker notes while it trains: how far it is, and that it gets on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from jobs import events
from jobs.leases import Lease
from jobs.records import JobRecord, ShardRecord


def note_measure(session: Session, lease: Lease, figures: Mapping[str, Any]) -> None:
    """Record how a training run stands as an event of its job, unless the lease is lost."""
    held = select(ShardRecord.job_id).where(_held(lease))
    job = session.scalar(select(JobRecord).where(JobRecord.id == held.scalar_subquery()).with_for_update())
    if job is not None:
        events.record(session, job.tenant_id, job.id, events.EventKind.MEASURED, actor="worker", **figures)


def forgive_deaths(session: Session, lease: Lease) -> None:
    """Count the deaths of workers anew: this one has brought the run further, so the run does not kill them."""
    session.execute(
        update(ShardRecord).where(_held(lease)).values(attempt=1).execution_options(synchronize_session=False)
    )


def _held(lease: Lease) -> Any:
    return (
        (ShardRecord.job_id == lease.job_id)
        & (ShardRecord.shard_no == lease.shard_no)
        & (ShardRecord.lease_token == lease.token)
    )
