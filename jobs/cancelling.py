"""Cancelling what is pending of a job that was stopped."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Row, Select, and_, exists, insert, literal, or_, select, update
from sqlalchemy.orm import Session

from jobs import sums
from jobs.database import Database, now
from jobs.job_leases import JobLease, hold
from jobs.moves import move
from jobs.records import ItemRecord, JobRecord, ResultRecord, ShardRecord
from jobs.shards import pending_items, settled_count
from jobs.states import CancelMode, ItemState, JobState, ShardState

BATCH_SHARDS = 64  # per transaction: some ten thousand items at most, well under a second


def cancel_pending(database: Database, lease: JobLease) -> bool:
    """End every open shard, then move the job on to finishing. Return whether it got there.

    Mode `now`: shards that are out on lease are taken back by a new token. Their workers' next write is refused, so
    nothing is recorded after the job was cancelled but what this records. Mode `drain`: they may end, or expire;
    until then this returns False, and is to be called again a little later. So it does where a shard is being written
    to at this very moment: waiting for its row here could be waiting for a worker that waits for another of ours.

    Raises:
        LeaseLost: another worker goes on with this.
        StepStopped: this process is about to end.

    """
    while True:
        with database.transaction() as session:
            job = hold(session, lease, progress=True)
            if _cancel_some(session, job):
                continue
            still_open = exists().where(ShardRecord.job_id == job.id, ShardRecord.state != ShardState.ENDED)
            if session.scalar(select(still_open)):
                return False
            move(session, lease.job_id, JobState.FINISHING)
            return True


def _cancel_some(session: Session, job: JobRecord) -> int:
    """Cancel what is pending in some of the shards that may be taken. Return how many these were."""
    shards = session.execute(_to_take(session, job)).all()
    if not shards:
        return 0
    for run in _runs(shards):
        _append_cancelled(session, job.id, run)
    cancelled = sum(shard.pending for shard in shards)
    session.execute(
        update(ShardRecord)
        .where(ShardRecord.job_id == job.id, ShardRecord.shard_no.in_([shard.shard_no for shard in shards]))
        .values(
            state=ShardState.ENDED,
            cancelled_count=ShardRecord.cancelled_count + ShardRecord.item_count - settled_count(),
            worker_id=None,
            lease_expires_at=None,
            presence_key=None,
            lease_token=ShardRecord.lease_token + 1,
        )
        .execution_options(synchronize_session=False)
    )
    sums.add(
        session,
        [sums.Added(job_id=job.id, stripe=sums.OF_THE_SERVICE, counts={ItemState.CANCELLED: cancelled})],
    )
    return len(shards)


def _to_take(session: Session, job: JobRecord) -> Select[int, int, int, int, bool, int]:
    takeable = ShardRecord.state != ShardState.ENDED
    if job.cancel_mode is CancelMode.DRAIN:
        expired = and_(ShardRecord.state == ShardState.LEASED, ShardRecord.lease_expires_at < now(session))
        takeable = or_(ShardRecord.state == ShardState.READY, expired)
    return (
        select(
            ShardRecord.shard_no,
            ShardRecord.first_item_no,
            ShardRecord.end_item_no,
            ShardRecord.attempt,
            (settled_count() == 0).label("untouched"),
            (ShardRecord.item_count - settled_count()).label("pending"),
        )
        .where(ShardRecord.job_id == job.id, takeable)
        .order_by(ShardRecord.shard_no)
        .limit(BATCH_SHARDS)
        .with_for_update(skip_locked=True)
    )


@dataclass(slots=True)
class _Run:
    """Items of shards that lie side by side and are alike."""

    first_item_no: int
    end_item_no: int
    attempt: int
    untouched: bool  # none of them has settled


def _runs(shards: Sequence[Row[int, int, int, int, bool, int]]) -> list[_Run]:
    """Put shards together, so that a few statements, mostly one, do for all of them."""
    runs: list[_Run] = []
    for shard in sorted(shards, key=lambda shard: shard.first_item_no):
        run = runs[-1] if runs else None
        alike = (shard.first_item_no, shard.attempt, shard.untouched)
        if run and (run.end_item_no, run.attempt, run.untouched) == alike:
            run.end_item_no = shard.end_item_no
        else:
            runs.append(_Run(shard.first_item_no, shard.end_item_no, shard.attempt, shard.untouched))
    return runs


def _append_cancelled(session: Session, job_id: uuid.UUID, run: _Run) -> None:
    """Give every pending item of a run its result."""
    columns = (
        ItemRecord.job_id,
        ItemRecord.item_no,
        literal(ItemState.CANCELLED.value),
        literal(run.attempt),
        literal(now(session), ResultRecord.__table__.c.settled_at.type),
    )
    pending = pending_items(job_id, run.first_item_no, run.end_item_no).with_only_columns(*columns)
    if run.untouched:  # no need to look for results: most shards of a job that is stopped early are so
        in_run = ItemRecord.item_no.between(run.first_item_no, run.end_item_no - 1)
        pending = select(*columns).where(ItemRecord.job_id == job_id, in_run)
    names = ["job_id", "item_no", "state", "attempt", "settled_at"]
    session.execute(insert(ResultRecord).from_select(names, pending))
