"""Parts of statements about shards, shared by all who change them."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, insert, literal, select, update
from sqlalchemy.orm import Session

from jobs.database import now
from jobs.records import ItemRecord, ResultRecord, ShardRecord
from jobs.states import ItemState, ShardState


def settled_count() -> ColumnElement[int]:
    """Return the number of settled items of a shard."""
    return (
        ShardRecord.succeeded_count
        + ShardRecord.reused_count
        + ShardRecord.rejected_count
        + ShardRecord.failed_count
        + ShardRecord.cancelled_count
    )


def pending_items(
    job_id: uuid.UUID | ColumnElement[uuid.UUID],
    first_item_no: int | ColumnElement[int],
    end_item_no: int | ColumnElement[int],
) -> Select[int, str, str, str | None]:
    """Select the items of a range that have no result, in order."""
    # The range is said of results too: a planner that does not infer it may read all results of the job at each claim.
    of_range = and_(
        ResultRecord.job_id == job_id, ResultRecord.item_no >= first_item_no, ResultRecord.item_no < end_item_no
    )
    return (
        select(
            ItemRecord.item_no,
            ItemRecord.source_url,
            ItemRecord.output_key,
            ItemRecord.attributes["mask_key"].as_string(),
        )
        .outerjoin(ResultRecord, and_(of_range, ResultRecord.item_no == ItemRecord.item_no))
        .where(
            ItemRecord.job_id == job_id,
            ItemRecord.item_no >= first_item_no,
            ItemRecord.item_no < end_item_no,
            ResultRecord.item_no.is_(None),
        )
        .order_by(ItemRecord.item_no)
    )


def settle_pending(
    session: Session,
    shard: ShardRecord,
    state: ItemState,
    *,
    error_code: str | None = None,
    error_message: str | None = None,
) -> int:
    """Give every pending item of a shard one final state, without a worker. Return how many there were."""
    columns: dict[str, Any] = {
        "state": literal(state.value),
        "error_code": literal(error_code),
        "error_message": literal(error_message),
        "attempt": literal(shard.attempt),
        "settled_at": literal(now(session), ResultRecord.__table__.c.settled_at.type),
    }
    pending = pending_items(shard.job_id, shard.first_item_no, shard.end_item_no).with_only_columns(
        ItemRecord.job_id, ItemRecord.item_no, *columns.values()
    )
    session.execute(insert(ResultRecord).from_select(["job_id", "item_no", *columns], pending))
    return shard.item_count - (
        shard.succeeded_count + shard.reused_count + shard.rejected_count + shard.failed_count + shard.cancelled_count
    )


def take_back(session: Session, job_id: uuid.UUID) -> None:
    """Refuse every further write of the workers that hold shards of a job, by new tokens.

    The job's row must be locked, and its state one in which nothing is claimed. Waits for writes that are under way.
    """
    session.execute(
        update(ShardRecord)
        .where(ShardRecord.job_id == job_id, ShardRecord.state == ShardState.LEASED)
        .values(lease_token=ShardRecord.lease_token + 1, lease_expires_at=now(session))
        .execution_options(synchronize_session=False)
    )
