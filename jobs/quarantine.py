"""Isolating an item that kills its workers, by halving its shard.

A shard whose lease expired twice is halved, and each half needs only one more death to be halved again: a poison
item among n stands alone after log2(n) further deaths, fails as `worker_crashed`, and all others succeed.
"""

from __future__ import annotations

import uuid

from sqlalchemy import update
from sqlalchemy.orm import Session

from jobs import sums
from jobs.errors import ErrorCode
from jobs.records import ItemRecord, JobRecord, ShardRecord
from jobs.shards import pending_items, settle_pending
from jobs.states import ItemState, ShardState

DEATHS = 2  # leases lost before a shard is halved: one may be the machine's fault


def quarantine(session: Session, job_id: uuid.UUID, shard_no: int) -> bool:
    """Halve a shard that lost too many workers, or fail its last item. Return whether anything is left to run.

    The rows of the shard and of its job must be locked by this transaction.
    """
    shard = session.get_one(ShardRecord, (job_id, shard_no))
    if shard.attempt < DEATHS:
        return True
    pending = pending_items(job_id, shard.first_item_no, shard.end_item_no).with_only_columns(ItemRecord.item_no)
    numbers = session.scalars(pending).all()
    if len(numbers) > 1:
        _halve(session, shard, numbers[len(numbers) // 2], len(numbers) - len(numbers) // 2)
        return True
    failed = settle_pending(
        session,
        shard,
        ItemState.FAILED,
        error_code=ErrorCode.WORKER_CRASHED,
        error_message=f"{shard.attempt} workers in a row did not come back from this item",
    )
    shard.failed_count += failed
    shard.state = ShardState.ENDED
    shard.worker_id = shard.lease_expires_at = None
    shard.lease_token += 1
    session.flush()
    sums.add(session, [sums.Added(job_id=job_id, stripe=sums.OF_THE_SERVICE, counts={ItemState.FAILED: failed})])
    return False


def _halve(session: Session, shard: ShardRecord, middle: int, moved: int) -> None:
    """Move the pending items from `middle` on, `moved` of them, to a new shard."""
    number = session.scalar(
        update(JobRecord)
        .where(JobRecord.id == shard.job_id)
        .values(planned_shard_count=JobRecord.planned_shard_count + 1)
        .returning(JobRecord.planned_shard_count)
    )
    assert number is not None
    session.add(
        ShardRecord(
            job_id=shard.job_id,
            shard_no=number - 1,
            first_item_no=middle,
            end_item_no=shard.end_item_no,
            item_count=moved,
            state=ShardState.READY,
            attempt=DEATHS - 1,
        )
    )
    shard.end_item_no = middle
    shard.item_count -= moved
    shard.attempt = DEATHS - 1
    session.flush()
