"""What a tenant may take now, and what it was given: the columns of `tenants` that claims look at and write."""

from __future__ import annotations

import datetime
import uuid

from sqlalchemy import case, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jobs.claimable import workers_of_tenant
from jobs.records import TenantRecord


def is_limited(tenant: TenantRecord | None) -> bool:
    """Say whether claims for a tenant must follow one another, because they count."""
    return tenant is not None and (tenant.max_workers is not None or tenant.max_items_per_minute is not None)


def rate_balance(tenant: TenantRecord, moment: datetime.datetime) -> float:
    """Return the items that a tenant with `max_items_per_minute` may start at a moment.

    A token bucket that holds one minute: who was away may start that much at once, and nobody more.
    """
    assert tenant.max_items_per_minute is not None
    if tenant.served_at is None:
        return float(tenant.max_items_per_minute)
    seconds = max(0.0, (moment - tenant.served_at).total_seconds())
    earned = tenant.rate_balance + seconds * tenant.max_items_per_minute / 60
    return min(earned, float(tenant.max_items_per_minute))


def has_room(tenant: TenantRecord | None, workers: int | None) -> bool:
    """Say whether a tenant may have one more worker beside so many others that hold shards of it."""
    return tenant is None or tenant.max_workers is None or (workers or 0) < tenant.max_workers


def may_start(tenant: TenantRecord | None, moment: datetime.datetime) -> bool:
    """Say whether a tenant may start a shard.

    Whole shards are given: one may take the balance below zero, and then time must make up for it.
    """
    return tenant is None or tenant.max_items_per_minute is None or rate_balance(tenant, moment) > 0


def lock(session: Session, tenant_id: str, worker_id: uuid.UUID, moment: datetime.datetime) -> tuple[TenantRecord, int]:
    """Lock a tenant's row. Return it, and how many other workers hold shards of the tenant now."""
    tenant = session.scalars(
        select(TenantRecord)
        .where(TenantRecord.id == tenant_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    # A statement of its own: a count in the one that waited for the lock would be older than the lock.
    workers = session.scalar(select(workers_of_tenant(moment, worker_id, tenant_id)))
    return tenant, workers or 0


def serve(
    session: Session,
    tenant_id: str,
    tenant: TenantRecord | None,
    item_count: int,
    *,
    starts: float | None,
    moment: datetime.datetime,
) -> None:
    """Put what a tenant was given to its account. `starts`: from `jobs.fairness`, None where it had no rival.

    The last write of a claim: the row is common to all claims of the tenant, so it is locked as briefly as can be.
    """
    values: dict[str, object] = {}
    if tenant is not None and tenant.max_items_per_minute is not None:
        values["rate_balance"] = rate_balance(tenant, moment) - item_count
    if starts is not None:
        # Others may have been served between this claim's look and now: go on from there.
        time = TenantRecord.virtual_time
        start = case((time < starts, starts), else_=time)
        values |= {"virtual_start": start, "virtual_time": start + item_count / TenantRecord.weight}
    if not values:
        return
    if tenant is None:
        _add_row(session, tenant_id, moment)
    session.execute(
        update(TenantRecord)
        .where(TenantRecord.id == tenant_id)
        .values(served_at=moment, **values)
        .execution_options(synchronize_session=False)
    )


def _add_row(session: Session, tenant_id: str, moment: datetime.datetime) -> None:
    """Give a tenant the row that stands for the defaults."""
    try:
        with session.begin_nested():
            session.execute(insert(TenantRecord).values(id=tenant_id, created_at=moment))
    except IntegrityError:
        pass  # another claim was first
