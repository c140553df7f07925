"""Claiming: which shard runs next, and for whom. The lease that a claim gives is kept in `jobs.leases`.

Several workers claim at the same time. A claim never waits for a shard, it takes another; it waits for the row of a
job or of a tenant only where it must count (limits, the job's first claim, rescues), and then in one order: job,
tenant, and nothing after a shard but the tenant's account.
"""

from __future__ import annotations

import bisect
import contextlib
import datetime
import itertools
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, Uuid, and_, bindparam, func, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from jobs import claimable, events, moves, tenant_shares
from jobs.candidates import Asking, Candidate, candidates, expired_leases
from jobs.database import now
from jobs.failure_policy import pause_if_workers_crash
from jobs.leases import Lease
from jobs.quarantine import quarantine
from jobs.recipes import Recipe
from jobs.records import ItemRecord, JobRecord, ShardRecord, StyleRecord, TenantRecord, UtcDateTime
from jobs.rules import first_rule
from jobs.shards import pending_items
from jobs.states import JobState, ShardState
from jobs.tallies import Tally


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    """An item that is to be done."""

    item_no: int
    source_url: str
    output_key: str
    mask_url: str | None = None
    rule_no: int | None = None  # of the rule that chooses its look; None: the recipe's own


@dataclass(frozen=True, slots=True)
class ClaimedStyle:
    """The reference pictures of a style."""

    references: tuple[str, ...]  # their URLs
    weights: tuple[float, ...]  # how much each of them counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A leased shard with all that a worker needs to run it."""

    lease: Lease
    suspect: bool  # an earlier attempt did not come back: run it with nothing else in flight
    postponed_count: int  # times that it was given back because storage did not answer
    recipe: Recipe
    recipe_fingerprint: str
    job_created_at: datetime.datetime
    styles: Mapping[str, ClaimedStyle]  # that the recipe names
    output_url: str
    items: tuple[ClaimedItem, ...]
    tally: Tally | None = None  # of the measures of the shard's items that have settled already


class _PassedOver(Exception):
    """Others were faster: what was locked is let go, and the next is looked at."""


def claim(
    session: Session,
    *,
    worker_id: uuid.UUID,
    queue: str,
    lease_seconds: float,
    presence_key: int | None = None,
    at_most: int = 1,
    besides: Collection[uuid.UUID] = (),
) -> list[Claim]:
    """Lease the shards that should run next, of one job; none where there are none.

    Expired leases come first, so that a dead worker's shard does not wait behind the rest of its job; then the
    highest priority, then the tenant whose turn it is, then the oldest job. What is paused, postponed, not due, past
    its deadline or at a limit of its job or tenant is as good as absent.

    `presence_key`: of the advisory lock that lives as long as the worker's connection, if it has one.
    `at_most`: more than one shard comes only of a tenant that has no rival and no limit, and only of those that nobody
    has tried before: what is suspect runs with nothing else in flight.
    `besides`: jobs of which this worker can do no more now, whoever's turn it is.
    """
    moment = now(session)
    asking = Asking(
        worker_id=worker_id,
        queue=queue,
        presence_key=presence_key,
        moment=moment,
        until=moment + datetime.timedelta(seconds=lease_seconds),
        at_most=at_most,
    )
    for job_id, shard_no, tenant_id, tenant in expired_leases(session, asking):
        with contextlib.suppress(_PassedOver), session.begin_nested():
            _lock_job(session, asking, job_id)
            if tenant_shares.is_limited(tenant):
                _lock_tenant(session, asking, tenant_id, starting=False)
            rescued = _rescue(session, asking, job_id, shard_no, tenant_id)
            if rescued is not None:
                return [rescued]
    for candidate in candidates(session, asking):
        if candidate.job.id in besides:
            continue
        with contextlib.suppress(_PassedOver), session.begin_nested() if candidate.locks else contextlib.nullcontext():
            return _take(session, asking, candidate)
    return []


def _rescue(session: Session, asking: Asking, job_id: uuid.UUID, shard_no: int, tenant_id: str) -> Claim | None:
    """Take over an expired lease, or return None where that has ended the shard or paused the job.

    The job's row must be locked. The items were put to the tenant's account when they were given the first time.
    """
    attempt = session.scalar(
        select(ShardRecord.attempt)
        .where(ShardRecord.job_id == job_id, ShardRecord.shard_no == shard_no, claimable.expired(asking.moment))
        .with_for_update(skip_locked=True)
    )
    if attempt is None:
        raise _PassedOver
    session.execute(update(JobRecord).where(JobRecord.id == job_id).values(rescued_count=JobRecord.rescued_count + 1))
    events.record(session, tenant_id, job_id, "shard.rescued", actor="service", shard_no=shard_no, attempt=attempt)
    if not quarantine(session, job_id, shard_no):
        return None
    if pause_if_workers_crash(session, job_id):
        _give_back(session, job_id, shard_no)
        return None
    leased = session.execute(_LEASE_ONE, _granting(asking, job_id) | {"chosen_no": shard_no}).all()
    _start(session, asking, job_id)  # one that was paused and resumed meanwhile is queued
    [rescued] = _claims(session, asking, session.get_one(JobRecord, job_id), leased)
    return rescued


def _start(session: Session, asking: Asking, job_id: uuid.UUID) -> None:
    """Move a job whose row is locked from queued to running, where that is its first claim since."""
    moves.move(session, job_id, JobState.RUNNING, started_at=func.coalesce(JobRecord.started_at, asking.moment))


def _give_back(session: Session, job_id: uuid.UUID, shard_no: int) -> None:
    session.execute(
        update(ShardRecord)
        .where(ShardRecord.job_id == job_id, ShardRecord.shard_no == shard_no)
        .values(
            state=ShardState.READY,
            worker_id=None,
            presence_key=None,
            lease_expires_at=None,
            lease_token=ShardRecord.lease_token + 1,
        )
    )


def _take(session: Session, asking: Asking, candidate: Candidate) -> list[Claim]:
    """Lease a candidate's next shards: those that were never postponed, else the one that has been due the longest."""
    job, tenant = candidate.job, candidate.tenant
    if job.state is JobState.QUEUED or job.max_workers is not None:
        _lock_job(session, asking, job.id)
    if tenant_shares.is_limited(tenant):
        tenant = _lock_tenant(session, asking, job.tenant_id, starting=True)
    granting = _granting(asking, job.id) | {"at_most": 1}
    leased: Sequence[_Leased] = []
    if asking.at_most > 1 and candidate.starts is None and not tenant_shares.is_limited(tenant):
        leased = session.execute(_LEASE_UNTRIED, granting | {"at_most": asking.at_most}).all()
    leased = leased or session.execute(_LEASE_NEVER_POSTPONED, granting).all()
    leased = leased or session.execute(_LEASE_DUE, granting | {"moment": asking.moment}).all()
    if not leased:
        raise _PassedOver
    if job.state is JobState.QUEUED:
        _start(session, asking, job.id)
    claimed = _claims(session, asking, job, leased)
    tenant_shares.serve(
        session,
        job.tenant_id,
        tenant,
        sum(len(each.items) for each in claimed),
        starts=candidate.starts,
        moment=asking.moment,
    )
    return claimed


def _lock_job(session: Session, asking: Asking, job_id: uuid.UUID) -> None:
    """Lock the row of a job that may still have this worker."""
    job = session.execute(
        select(JobRecord.max_workers).where(JobRecord.id == job_id, claimable.runnable(asking.moment)).with_for_update()
    ).one_or_none()
    if job is None:
        raise _PassedOver
    if job.max_workers is not None:
        # A statement of its own: a count in the one that waited for the lock would be older than the lock.
        workers = session.scalar(select(claimable.workers_of_job(asking.moment, asking.worker_id, job_id)))
        if (workers or 0) >= job.max_workers:
            raise _PassedOver


def _lock_tenant(session: Session, asking: Asking, tenant_id: str, *, starting: bool) -> TenantRecord:
    """Lock the row of a tenant that may still have this worker and, when it is starting new items, those."""
    tenant, workers = tenant_shares.lock(session, tenant_id, asking.worker_id, asking.moment)
    if not tenant_shares.has_room(tenant, workers) or (starting and not tenant_shares.may_start(tenant, asking.moment)):
        raise _PassedOver
    return tenant


def _claims(session: Session, asking: Asking, job: JobRecord, shards: Sequence[_Leased]) -> list[Claim]:
    recipe = Recipe.model_validate(job.recipe)
    styles = _styles(session, job, recipe)
    return [
        Claim(
            lease=Lease(
                job_id=job.id,
                shard_no=shard.shard_no,
                token=shard.lease_token,
                attempt=shard.attempt,
                worker_id=asking.worker_id,
            ),
            suspect=shard.attempt > 1,
            postponed_count=shard.postponed_count,
            recipe=recipe,
            recipe_fingerprint=job.recipe_fingerprint,
            job_created_at=job.created_at,
            styles=styles,
            output_url=job.output_url,
            items=items,
            tally=shard.measures,
        )
        for shard, items in _with_items(session, job.id, recipe, sorted(shards, key=lambda each: each.first_item_no))
    ]


def _styles(session: Session, job: JobRecord, recipe: Recipe) -> dict[str, ClaimedStyle]:
    """Return what a recipe's styles are made of, by name."""
    found = [] if job.style_id is None else [session.get_one(StyleRecord, job.style_id)]
    further = recipe.styles - {recipe.style}
    if further:  # a style is never changed, and never lost: its name will do
        chosen = select(StyleRecord).where(StyleRecord.tenant_id == job.tenant_id, StyleRecord.name.in_(further))
        found += session.scalars(chosen)
    return {
        style.name: ClaimedStyle(
            tuple(reference["url"] for reference in style.references),
            tuple(reference.get("weight", 1.0) for reference in style.references),
        )
        for style in found
    }


def _with_items(
    session: Session, job_id: uuid.UUID, recipe: Recipe, shards: Sequence[_Leased]
) -> Iterator[tuple[_Leased, tuple[ClaimedItem, ...]]]:
    """Pair shards with their pending items. What lies side by side is read at once."""
    ends = {shard.end_item_no for shard in shards}
    borders = [number for number, shard in enumerate(shards) if shard.first_item_no not in ends]
    for first, end in itertools.pairwise([*borders, len(shards)]):
        together = shards[first:end]
        between = {"first_item_no": together[0].first_item_no, "end_item_no": together[-1].end_item_no}
        items = _items(session, recipe, {"job_id": job_id, **between})
        start = 0
        for shard in together:
            until = bisect.bisect_left(items, shard.end_item_no, start, key=lambda item: item.item_no)
            yield shard, tuple(items[start:until])
            start = until


def _items(session: Session, recipe: Recipe, between: Mapping[str, Any]) -> list[ClaimedItem]:
    """Return the pending items of a range; where rules choose their looks, with the rule that holds for each."""
    if not recipe.looks:
        return [ClaimedItem(*row) for row in session.execute(_PENDING, between)]
    rows = session.execute(_PENDING_WITH_ATTRIBUTES, between)
    return [
        ClaimedItem(item_no, source_url, output_key, mask_url, first_rule(recipe.looks, attributes or {}))
        for item_no, source_url, output_key, mask_url, attributes in rows
    ]


_Leased = Row[int, int, int, int, int, int, dict[str, Any] | None]


def _granting(asking: Asking, job_id: uuid.UUID) -> dict[str, Any]:
    return {"of_job": job_id, "to": asking.worker_id, "present": asking.presence_key, "until": asking.until}


def _lease(which: ColumnElement[bool]) -> ReturningUpdate[int, int, int, int, int, int, dict[str, Any] | None]:
    """Lease the first of a job's shards that nobody else is about to take."""
    chosen = (
        select(ShardRecord.shard_no)
        .where(ShardRecord.job_id == bindparam("of_job"), which)
        .order_by(ShardRecord.available_at, ShardRecord.shard_no)
        .limit(bindparam("at_most", type_=Integer()))
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    return _leasing().where(ShardRecord.shard_no.in_(select(chosen.c.shard_no)))


def _leasing() -> ReturningUpdate[int, int, int, int, int, int, dict[str, Any] | None]:
    return (
        update(ShardRecord)
        .where(ShardRecord.job_id == bindparam("of_job"))
        .values(
            state=ShardState.LEASED,
            lease_token=ShardRecord.lease_token + 1,
            attempt=ShardRecord.attempt + 1,
            worker_id=bindparam("to"),
            presence_key=bindparam("present"),
            available_at=None,
            lease_expires_at=bindparam("until"),
        )
        .returning(
            ShardRecord.shard_no,
            ShardRecord.lease_token,
            ShardRecord.attempt,
            ShardRecord.first_item_no,
            ShardRecord.end_item_no,
            ShardRecord.postponed_count,
            ShardRecord.measures,
        )
        .execution_options(synchronize_session=False)
    )


# Built once: to build them at each claim would take most of its time.
_LEASE_UNTRIED = _lease(and_(claimable.never_postponed(), ShardRecord.attempt == 0))
_LEASE_NEVER_POSTPONED = _lease(claimable.never_postponed())
_LEASE_DUE = _lease(claimable.due(bindparam("moment", type_=UtcDateTime())))
_LEASE_ONE = _leasing().where(ShardRecord.shard_no == bindparam("chosen_no"))
_PENDING = pending_items(
    bindparam("job_id", type_=Uuid()),
    bindparam("first_item_no", type_=Integer()),
    bindparam("end_item_no", type_=Integer()),
)
_PENDING_WITH_ATTRIBUTES = _PENDING.add_columns(ItemRecord.attributes)
