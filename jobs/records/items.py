"""What a job consists of: items, the shards that they are worked in, and what became of each."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from jobs.measures import MEASURES
from jobs.records.record import Figures, Json, Record, one_of
from jobs.stages import STAGES
from jobs.states import ItemState, ShardState


class ItemRecord(Record):
    """Appended while planning, never updated."""

    __tablename__ = "items"

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """No foreign key: its check doubled what COPY takes. Planning holds the job's row; a job goes after its items."""
    item_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """0, 1, 2 … in the order of the source."""
    product_id: Mapped[str | None]
    source_url: Mapped[str]
    output_key: Mapped[str]
    """Below the job's output_url."""
    output_key_digest: Mapped[bytes] = mapped_column(LargeBinary(16))
    """Of the folded key: equal for keys that some file system would take for the same."""
    attributes: Mapped[dict[str, Any] | None] = mapped_column(Json)

    __table_args__ = (UniqueConstraint("job_id", "output_key_digest"),)


class ShardRecord(Record):
    """A run of one job's items, `first_item_no` up to but not including `end_item_no`."""

    __tablename__ = "shards"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    shard_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    first_item_no: Mapped[int]
    end_item_no: Mapped[int]
    item_count: Mapped[int]
    """Items that this shard answers for. Fewer than its range only after a halving: see `jobs.quarantine`."""
    state: Mapped[ShardState] = mapped_column(one_of(ShardState, "state"))
    attempt: Mapped[int] = mapped_column(default=0)
    """Counts claims; a graceful release takes its own back."""
    lease_token: Mapped[int] = mapped_column(BigInteger, default=0)
    """Grows at every claim, never falls; every later write must match it."""
    lease_expires_at: Mapped[datetime.datetime | None]
    worker_id: Mapped[uuid.UUID | None]
    """A fresh UUID per process start; null unless leased."""
    presence_key: Mapped[int | None] = mapped_column(BigInteger)
    """Of the advisory lock that lives as long as its worker's connection; null where there is none."""
    available_at: Mapped[datetime.datetime | None]
    """A ready shard that was postponed is not claimed earlier."""
    postponed_count: Mapped[int] = mapped_column(default=0)
    """Times that it was given back because storage did not answer."""
    succeeded_count: Mapped[int] = mapped_column(default=0)
    reused_count: Mapped[int] = mapped_column(default=0)
    rejected_count: Mapped[int] = mapped_column(default=0)
    failed_count: Mapped[int] = mapped_column(default=0)
    cancelled_count: Mapped[int] = mapped_column(default=0)
    measures: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """How the measures of its settled items are spread, see `jobs.tallies`; null while none has any."""

    __table_args__ = (
        Index(  # those that were never postponed, in order; then those that were, the first due first
            "ix_shards_ready",
            "job_id",
            "available_at",
            "shard_no",
            postgresql_where=text("state = 'ready'"),
            sqlite_where=text("state = 'ready'"),
        ),
        Index(
            "ix_shards_leased",
            "lease_expires_at",
            postgresql_where=text("state = 'leased'"),
            sqlite_where=text("state = 'leased'"),
        ),
        CheckConstraint(
            "succeeded_count + reused_count + rejected_count + failed_count + cancelled_count <= item_count",
            name="counts_within_item_count",
        ),
        CheckConstraint("(state = 'leased') = (worker_id IS NOT NULL)", name="worker_when_leased"),
    )


class SumRecord(Record):
    """One of several stripes of what became of a job's items so far: see `jobs.sums`."""

    __tablename__ = "sums"

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """No foreign key: its check waits for whoever holds the job's row, and that one may wait for who settles."""
    stripe: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    succeeded_count: Mapped[int]
    reused_count: Mapped[int]
    rejected_count: Mapped[int]
    failed_count: Mapped[int]
    cancelled_count: Mapped[int]
    device_item_count: Mapped[int]
    """Settled items that a device had."""
    device_seconds: Mapped[float] = mapped_column(Float)
    cost: Mapped[float | None] = mapped_column(Float)
    """Null from the first item on whose cost is unknown."""

    # Changed about once a second by each worker: room for the new row beside the old one keeps the index out of it.
    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)


class ResultRecord(Record):
    """What became of an item; appended when it settles, one per item, never updated."""

    __tablename__ = "results"

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    item_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[ItemState] = mapped_column(one_of(ItemState, "state"))
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    source_sha256: Mapped[str | None]
    source_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    width: Mapped[int | None]
    """Pixels, orientation applied."""
    height: Mapped[int | None]
    milliseconds: Mapped[dict[str, float] | None] = mapped_column(Figures(STAGES))
    """By stage, see `jobs.stages`."""
    device_seconds: Mapped[float | None] = mapped_column(Float)
    """Its share of the time for which its batches held the device; null where no device had it."""
    cost: Mapped[float | None] = mapped_column(Float)
    """Device-seconds at the price of that device; null where there are none, or the price is unknown."""
    engine: Mapped[str | None]
    """Digest of what computed it, see `EngineRecord`; null where no device had it. No foreign key, as with items."""
    measures: Mapped[dict[str, float] | None] = mapped_column(Figures(MEASURES))
    """By name, see `jobs.measures`; null where there is no picture."""
    attempt: Mapped[int]
    worker_id: Mapped[uuid.UUID | None]
    settled_at: Mapped[datetime.datetime]

    __table_args__ = (
        # No foreign key to `items`: its check locks the item's row for each result, and doubled the time of settling.
        # Results are written for claimed items alone, and deleted before them.
        Index(
            "ix_results_troubled",
            "job_id",
            "state",
            "item_no",
            postgresql_where=text("state <> 'succeeded'"),
            sqlite_where=text("state <> 'succeeded'"),
        ),
        CheckConstraint("state <> 'pending'", name="settled"),
        CheckConstraint("(state IN ('failed', 'rejected')) = (error_code IS NOT NULL)", name="reason_when_failed"),
    )


class ItemErrorRecord(Record):
    """A failed try at an item that was tried again."""

    __tablename__ = "item_errors"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    job_id: Mapped[uuid.UUID]
    item_no: Mapped[int]
    attempt: Mapped[int]
    """Of the shard's lease in which it happened."""
    code: Mapped[str]
    message: Mapped[str]
    worker_id: Mapped[uuid.UUID | None]
    failed_at: Mapped[datetime.datetime]

    __table_args__ = (
        ForeignKeyConstraint(["job_id", "item_no"], ["items.job_id", "items.item_no"], ondelete="CASCADE"),
        Index("ix_item_errors_job_id_item_no", "job_id", "item_no"),
    )


class BadRowRecord(Record):
    """A row of a manifest that names no usable item."""

    __tablename__ = "bad_rows"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    row_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Line of the manifest, from 1."""
    code: Mapped[str]
    message: Mapped[str]
    text: Mapped[str]
    """The row as it was read, clipped."""


class ResultPartRecord(Record):
    """The digest of an ended shard's results, kept from the first time that somebody asks. Never changed."""

    __tablename__ = "result_parts"

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    shard_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str]
    bytes: Mapped[int]

    __table_args__ = (
        ForeignKeyConstraint(["job_id", "shard_no"], ["shards.job_id", "shards.shard_no"], ondelete="CASCADE"),
    )
