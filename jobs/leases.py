"""Leases on shards: renew, settle, release. They are given in `jobs.claims`; an expired one is rescued there.

Every write of a worker matches `(job, shard, lease token)`. The token grows at each claim and never falls, so a
worker that was stopped and goes on after its shard was given away updates no row, and learns that it lost.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, or_, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from jobs.claimable import runnable
from jobs.database import append, now, storable
from jobs.errors import LeaseLost
from jobs.records import ItemErrorRecord, JobRecord, ResultRecord, ShardRecord
from jobs.shards import settled_count
from jobs.states import CancelMode, ItemState, JobState, ShardState


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right of one worker to one shard, until it expires or is claimed anew."""

    job_id: uuid.UUID
    shard_no: int
    token: int
    attempt: int
    worker_id: uuid.UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """What became of one item."""

    item_no: int
    state: ItemState
    error_code: str | None = None
    error_message: str | None = None
    source_sha256: str | None = None
    source_bytes: int | None = None
    sha256: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    milliseconds: dict[str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTry:
    """A try at an item that failed and was repeated."""

    item_no: int
    code: str
    message: str


def renew(session: Session, leases: Sequence[Lease], *, lease_seconds: float) -> dict[Lease, bool]:
    """Extend leases, in one statement.

    Returns those that are still held, each with whether its job still wants to run: what is missing is lost; what is
    no longer wanted should be settled as far as it is done, and released.
    """
    moment = now(session)
    until = moment + datetime.timedelta(seconds=lease_seconds)
    held = session.execute(
        update(ShardRecord)
        .where(or_(false(), *map(_held, leases)))
        .values(lease_expires_at=until)
        .returning(ShardRecord.job_id, ShardRecord.shard_no)
    ).all()
    draining = and_(JobRecord.state == JobState.CANCELLING, JobRecord.cancel_mode == CancelMode.DRAIN)
    wanted = set(
        session.scalars(
            select(JobRecord.id).where(JobRecord.id.in_({row.job_id for row in held}), or_(runnable(moment), draining))
        )
    )
    still = {(row.job_id, row.shard_no) for row in held}
    return {lease: lease.job_id in wanted for lease in leases if (lease.job_id, lease.shard_no) in still}


def settle(
    session: Session, lease: Lease, results: Sequence[ItemResult], failed_tries: Sequence[FailedTry] = ()
) -> bool:
    """Record final states of items. Return whether the shard has ended with them.

    Raises:
        LeaseLost: the lease is another's now. Nothing was recorded.

    """
    moment = now(session)
    added = {state: sum(result.state is state for result in results) for state in ItemState}
    complete = settled_count() + len(results) == ShardRecord.item_count
    state = session.scalar(
        update(ShardRecord)
        .where(_held(lease))
        .values(
            succeeded_count=ShardRecord.succeeded_count + added[ItemState.SUCCEEDED],
            reused_count=ShardRecord.reused_count + added[ItemState.REUSED],
            rejected_count=ShardRecord.rejected_count + added[ItemState.REJECTED],
            failed_count=ShardRecord.failed_count + added[ItemState.FAILED],
            cancelled_count=ShardRecord.cancelled_count + added[ItemState.CANCELLED],
            state=case((complete, ShardState.ENDED), else_=ShardState.LEASED),
            worker_id=case((complete, None), else_=ShardRecord.worker_id),
            lease_expires_at=case((complete, None), else_=ShardRecord.lease_expires_at),
        )
        .returning(ShardRecord.state)
    )
    if state is None:
        raise LeaseLost
    append(session, ResultRecord, [_result_row(lease, result, moment) for result in results])
    append(session, ItemErrorRecord, [_error_row(lease, failed, moment) for failed in failed_tries])
    return state is ShardState.ENDED


def release(session: Session, lease: Lease) -> None:
    """Give a shard back before its time. The attempt does not count.

    Raises:
        LeaseLost: the lease is another's now.

    """
    released = session.scalar(
        update(ShardRecord)
        .where(_held(lease))
        .values(
            state=ShardState.READY,
            attempt=ShardRecord.attempt - 1,
            worker_id=None,
            lease_expires_at=None,
        )
        .returning(ShardRecord.shard_no)
    )
    if released is None:
        raise LeaseLost


def _held(lease: Lease) -> ColumnElement[bool]:
    return and_(
        ShardRecord.job_id == lease.job_id,
        ShardRecord.shard_no == lease.shard_no,
        ShardRecord.lease_token == lease.token,
        ShardRecord.state == ShardState.LEASED,
    )


def _result_row(lease: Lease, result: ItemResult, moment: datetime.datetime) -> dict[str, Any]:
    return {
        "job_id": lease.job_id,
        "item_no": result.item_no,
        "state": result.state,
        "error_code": result.error_code,
        "error_message": None if result.error_message is None else storable(result.error_message),
        "source_sha256": result.source_sha256,
        "source_bytes": result.source_bytes,
        "sha256": result.sha256,
        "bytes": result.bytes,
        "width": result.width,
        "height": result.height,
        "milliseconds": result.milliseconds,
        "attempt": lease.attempt,
        "worker_id": lease.worker_id,
        "settled_at": moment,
    }


def _error_row(lease: Lease, failed: FailedTry, moment: datetime.datetime) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "job_id": lease.job_id,
        "item_no": failed.item_no,
        "attempt": lease.attempt,
        "code": failed.code,
        "message": storable(failed.message),
        "worker_id": lease.worker_id,
        "failed_at": moment,
    }
