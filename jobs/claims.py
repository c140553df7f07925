"""Claiming: which shard runs next, and for whom. The lease that a claim gives is kept in `jobs.leases`."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass

from sqlalchemy import Select, exists, select, update
from sqlalchemy.orm import Session

from jobs import moves
from jobs.database import now
from jobs.leases import Lease
from jobs.quarantine import quarantine
from jobs.recipes import Recipe
from jobs.records import JobRecord, ShardRecord, StyleRecord
from jobs.shards import pending_items
from jobs.states import CLAIMABLE, JobState, ShardState

CANDIDATES = 16  # jobs looked at in one claim; more only matter when others race for the same shards


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedItem:
    """An item that is to be done."""

    item_no: int
    source_url: str
    output_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A leased shard with all that a worker needs to run it."""

    lease: Lease
    suspect: bool  # an earlier attempt did not come back: run it with nothing else in flight
    recipe: Recipe
    recipe_fingerprint: str
    references: tuple[str, ...]  # URLs of the style's pictures
    output_url: str
    items: tuple[ClaimedItem, ...]


def claim(session: Session, *, worker_id: uuid.UUID, queue: str, lease_seconds: float) -> Claim | None:
    """Lease the shard that should run next, or return None when there is none.

    Expired leases come first, so that a dead worker's shard does not wait behind the rest of its job; then the
    highest priority, then the oldest job.
    """
    moment = now(session)
    expired = session.execute(_expired(queue, moment)).first()
    if expired is not None and not quarantine(session, expired.job_id, expired.shard_no):
        return None  # it was the last item of its shard and is settled now; the next claim looks further
    if expired is not None:
        return _lease(session, expired.job_id, expired.shard_no, worker_id, moment, lease_seconds)
    for job_id in session.scalars(_jobs_with_ready_shards(queue)):
        shard_no = session.scalar(
            select(ShardRecord.shard_no)
            .where(ShardRecord.job_id == job_id, ShardRecord.state == ShardState.READY)
            .order_by(ShardRecord.shard_no)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if shard_no is not None:
            return _lease(session, job_id, shard_no, worker_id, moment, lease_seconds)
    return None


def _expired(queue: str, moment: datetime.datetime) -> Select[uuid.UUID, int]:
    return (
        select(ShardRecord.job_id, ShardRecord.shard_no)
        .join(JobRecord, JobRecord.id == ShardRecord.job_id)
        .where(
            ShardRecord.state == ShardState.LEASED,
            ShardRecord.lease_expires_at < moment,
            JobRecord.queue == queue,
            JobRecord.state.in_(CLAIMABLE),
        )
        .order_by(JobRecord.priority.desc(), JobRecord.id, ShardRecord.shard_no)
        .limit(1)
        .with_for_update(of=ShardRecord, skip_locked=True)
    )


def _jobs_with_ready_shards(queue: str) -> Select[uuid.UUID]:
    ready = exists().where(ShardRecord.job_id == JobRecord.id, ShardRecord.state == ShardState.READY)
    return (
        select(JobRecord.id)
        .where(JobRecord.queue == queue, JobRecord.state.in_(CLAIMABLE), ready)
        .order_by(JobRecord.priority.desc(), JobRecord.id)
        .limit(CANDIDATES)
    )


def _lease(
    session: Session,
    job_id: uuid.UUID,
    shard_no: int,
    worker_id: uuid.UUID,
    moment: datetime.datetime,
    lease_seconds: float,
) -> Claim:
    """Lease a shard whose row this transaction has locked."""
    shard = session.execute(
        update(ShardRecord)
        .where(ShardRecord.job_id == job_id, ShardRecord.shard_no == shard_no)
        .values(
            state=ShardState.LEASED,
            lease_token=ShardRecord.lease_token + 1,
            attempt=ShardRecord.attempt + 1,
            worker_id=worker_id,
            lease_expires_at=moment + datetime.timedelta(seconds=lease_seconds),
        )
        .returning(ShardRecord.lease_token, ShardRecord.attempt, ShardRecord.first_item_no, ShardRecord.end_item_no)
    ).one()
    moves.move(session, job_id, JobState.RUNNING, started_at=moment)
    job, style = session.execute(
        select(JobRecord, StyleRecord)
        .outerjoin(StyleRecord, StyleRecord.id == JobRecord.style_id)
        .where(JobRecord.id == job_id)
    ).one()
    rows = session.execute(pending_items(job_id, shard.first_item_no, shard.end_item_no))
    return Claim(
        lease=Lease(
            job_id=job_id, shard_no=shard_no, token=shard.lease_token, attempt=shard.attempt, worker_id=worker_id
        ),
        suspect=shard.attempt > 1,
        recipe=Recipe.model_validate(job.recipe),
        recipe_fingerprint=job.recipe_fingerprint,
        references=tuple(reference["url"] for reference in style.references) if style else (),
        output_url=job.output_url,
        items=tuple(
            ClaimedItem(item_no=row.item_no, source_url=row.source_url, output_key=row.output_key) for row in rows
        ),
    )
