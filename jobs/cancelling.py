"""Cancelling what is pending of a job that was stopped."""

from __future__ import annotations

from sqlalchemy import select

from jobs.database import Database
from jobs.job_leases import JobLease, hold
from jobs.moves import move
from jobs.records import ShardRecord
from jobs.shards import settle_pending
from jobs.states import ItemState, JobState, ShardState


def cancel_pending(database: Database, lease: JobLease) -> None:
    """End every open shard, then move the job on to finishing.

    Shards that are out on lease are taken back by a new token: their workers' next write is refused, so nothing
    is recorded after the job was cancelled but what this records. One shard a transaction: none is long.

    Raises:
        LeaseLost: another worker goes on with this.
    """
    while _cancel_one(database, lease):
        pass
    with database.transaction() as session:
        hold(session, lease, progress=True)
        move(session, lease.job_id, JobState.FINISHING)


def _cancel_one(database: Database, lease: JobLease) -> bool:
    with database.transaction() as session:
        hold(session, lease, progress=True)
        shard = session.scalar(
            select(ShardRecord)
            .where(ShardRecord.job_id == lease.job_id, ShardRecord.state != ShardState.ENDED)
            .limit(1)
            .with_for_update()
        )
        if shard is None:
            return False
        shard.cancelled_count += settle_pending(session, shard, ItemState.CANCELLED)
        shard.state = ShardState.ENDED
        shard.worker_id = shard.lease_expires_at = None
        shard.lease_token += 1
        return True
