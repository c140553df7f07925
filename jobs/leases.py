"""Leases on shards: renew, settle, release. They are given in `jobs.claims`; an expired one is rescued there.

Every write of a worker matches `(job, shard, lease token)`. The token grows at each claim and never falls, so a
worker that was stopped and goes on after its shard was given away updates no row, and learns that it lost.
"""

from __future__ import annotations

import datetime
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Uuid,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate
from uuid_utils.compat import uuid7

from jobs import sums
from jobs.claimable import runnable
from jobs.database import append, clock, now, storable
from jobs.errors import LeaseLost
from jobs.measures import Measures
from jobs.records import ItemErrorRecord, JobRecord, Json, ResultRecord, ShardRecord
from jobs.retries import POSTPONING
from jobs.shards import settled_count
from jobs.states import SETTLED, CancelMode, ItemState, JobState, ShardState
from jobs.tallies import Tally


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
    device_seconds: float | None = None  # None: no device had it
    cost: float | None = None  # None: as above, or nobody knows what the device costs
    engine: str | None = None
    measures: Measures | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTry:
    """A try at an item that failed and was repeated."""

    item_no: int
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of items of one lease."""

    lease: Lease
    results: Sequence[ItemResult]
    failed_tries: Sequence[FailedTry] = ()
    tally: Tally | None = None  # of the measures of the shard's settled items, with these in it


def renew(
    session: Session, leases: Sequence[Lease], *, lease_seconds: float, presence_key: int | None = None
) -> dict[Lease, bool]:
    """Extend leases, in one statement, and note the key of their worker's lock. Returns what `standing` does."""
    session.execute(
        update(ShardRecord)
        .where(or_(false(), *map(_held, leases)))
        .values(lease_expires_at=now(session) + datetime.timedelta(seconds=lease_seconds), presence_key=presence_key)
        .execution_options(synchronize_session=False)
    )
    return standing(session, leases)


def standing(session: Session, leases: Sequence[Lease]) -> dict[Lease, bool]:
    """Return the leases that are still held, each with whether its job wants more of it to start, in one statement.

    What is missing is lost: another worker has it, or its job was cancelled and records nothing any more. What is
    not wanted should be settled as far as it is done, and given back.
    """
    wants_more = or_(
        runnable(now(session)),
        and_(JobRecord.state == JobState.CANCELLING, JobRecord.cancel_mode == CancelMode.DRAIN),
    )
    rows = session.execute(
        select(
            ShardRecord.job_id,
            ShardRecord.shard_no,
            ShardRecord.lease_token,
            JobRecord.state,
            JobRecord.cancel_mode,
            wants_more.label("wanted"),
        )
        .join(JobRecord, JobRecord.id == ShardRecord.job_id)
        .where(or_(false(), *map(_held, leases)))
    )
    wanted = {
        (row.job_id, row.shard_no, row.lease_token): row.wanted
        for row in rows
        if row.state is not JobState.CANCELLING or row.cancel_mode is CancelMode.DRAIN
    }
    of = {lease: (lease.job_id, lease.shard_no, lease.token) for lease in leases}
    return {lease: wanted[shard] for lease, shard in of.items() if shard in wanted}


def settle(session: Session, settlements: Sequence[Settlement]) -> dict[Lease, bool]:
    """Record final states of items. Return the leases that are still held, with whether their shards ended with it.

    What is missing is lost: another worker has it, and nothing of it was recorded.
    """
    ended: dict[Lease, bool] = {}
    results, tries = [], []
    recorded: defaultdict[tuple[uuid.UUID, int], list[ItemResult]] = defaultdict(list)
    for settlement in settlements:
        lease = settlement.lease
        settled = session.execute(_SETTLE, _parameters(settlement)).one_or_none()
        if settled is None:
            continue
        state, moment = settled
        ended[lease] = state is ShardState.ENDED
        results += [_result_row(lease, result, moment) for result in settlement.results]
        recorded[lease.job_id, sums.stripe_of(lease.worker_id)] += settlement.results
        tries += [_error_row(lease, failed, moment) for failed in settlement.failed_tries]
    append(session, ResultRecord, results)
    append(session, ItemErrorRecord, tries)
    sums.add(session, [_added(*where, settled) for where, settled in recorded.items() if settled])
    return ended


def unrecorded(session: Session, lease: Lease, results: Sequence[ItemResult]) -> list[ItemResult]:
    """Return the results that are not recorded yet: for those of a transaction whose commit got no answer."""
    numbers = select(ResultRecord.item_no).where(
        ResultRecord.job_id == lease.job_id, ResultRecord.item_no.in_([result.item_no for result in results])
    )
    recorded = set(session.scalars(numbers))
    return [result for result in results if result.item_no not in recorded]


def release(session: Session, lease: Lease) -> None:
    """Give a shard back before its time. The attempt does not count.

    Raises:
        LeaseLost: the lease is another's now.

    """
    _give_back(session, lease)


def postpone(session: Session, lease: Lease) -> None:
    """Give a shard back because storage does not answer: nobody claims it for a while. The attempt does not count.

    The pause grows with each time; see `jobs.retries.POSTPONING`, also for how often this may be done.

    Raises:
        LeaseLost: the lease is another's now.

    """
    count = session.scalar(select(ShardRecord.postponed_count).where(_held(lease)))
    if count is None:
        raise LeaseLost
    seconds = POSTPONING.longest(count) * random.uniform(0.5, 1)
    _give_back(
        session,
        lease,
        postponed_count=count + 1,
        available_at=now(session) + datetime.timedelta(seconds=seconds),
    )


def expire(session: Session, lease: Lease) -> None:
    """Let a lease end now as if its worker had died: the attempt counts, and the next one is suspect.

    Raises:
        LeaseLost: the lease is another's now.

    """
    _change(session, lease, lease_expires_at=now(session), presence_key=None)


def _give_back(session: Session, lease: Lease, **columns: Any) -> None:
    _change(
        session,
        lease,
        state=ShardState.READY,
        attempt=ShardRecord.attempt - 1,
        worker_id=None,
        lease_expires_at=None,
        presence_key=None,
        **columns,
    )


def _change(session: Session, lease: Lease, **columns: Any) -> None:
    statement = update(ShardRecord).where(_held(lease)).values(columns).returning(ShardRecord.shard_no)
    if session.scalar(statement) is None:
        raise LeaseLost


def _held(lease: Lease) -> ColumnElement[bool]:
    return _held_by(literal(lease.job_id), literal(lease.shard_no), literal(lease.token))


def _held_by(
    job_id: ColumnElement[uuid.UUID], shard_no: ColumnElement[int], token: ColumnElement[int]
) -> ColumnElement[bool]:
    return and_(
        ShardRecord.job_id == job_id,
        ShardRecord.shard_no == shard_no,
        ShardRecord.lease_token == token,
        ShardRecord.state == ShardState.LEASED,
    )


def _parameters(settlement: Settlement) -> dict[str, Any]:
    lease, added = settlement.lease, Counter(result.state for result in settlement.results)
    return {
        "of_job": lease.job_id,
        "of_shard": lease.shard_no,
        "with_token": lease.token,
        "added": len(settlement.results),
        "with_tally": settlement.tally,
        **{f"added_{state.value}": added[state] for state in SETTLED},
    }


def _added(job_id: uuid.UUID, stripe: int, results: Sequence[ItemResult]) -> sums.Added:
    on_device = [result for result in results if result.device_seconds is not None]
    costs = [result.cost for result in on_device if result.cost is not None]
    return sums.Added(
        job_id=job_id,
        stripe=stripe,
        counts=Counter(result.state for result in results),
        device_item_count=len(on_device),
        device_seconds=sum(result.device_seconds or 0.0 for result in on_device),
        cost=sum(costs) if len(costs) == len(on_device) else None,  # what is added to it becomes null
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
        "device_seconds": result.device_seconds,
        "cost": result.cost,
        "engine": result.engine,
        "measures": result.measures,
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


def _settling() -> ReturningUpdate[ShardState, datetime.datetime]:
    complete = settled_count() + bindparam("added", type_=Integer()) == ShardRecord.item_count
    counts = {state: getattr(ShardRecord, f"{state.value}_count") for state in SETTLED}
    return (
        update(ShardRecord)
        .where(
            _held_by(
                bindparam("of_job", type_=Uuid()),
                bindparam("of_shard", type_=Integer()),
                bindparam("with_token", type_=BigInteger()),
            )
        )
        .values({count: count + bindparam(f"added_{state.value}", type_=Integer()) for state, count in counts.items()})
        .values(measures=func.coalesce(bindparam("with_tally", type_=Json), ShardRecord.measures))
        .values(
            state=case((complete, ShardState.ENDED), else_=ShardState.LEASED),
            worker_id=case((complete, None), else_=ShardRecord.worker_id),
            lease_expires_at=case((complete, None), else_=ShardRecord.lease_expires_at),
        )
        .returning(ShardRecord.state, clock())
        .execution_options(synchronize_session=False)
    )


_SETTLE = _settling()  # built once: it is asked all the time
