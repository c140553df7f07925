"""The rows, and when each column changes.

`items` and `results` are appended and never updated; `shards` are the only rows that change while work runs.
"""

from __future__ import annotations

import datetime
import uuid
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Enum,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from jobs.states import CancelMode, DeliveryState, ItemState, JobOutcome, JobState, ShardState

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
RowNumber = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself in an INTEGER only


class UtcDateTime(TypeDecorator[datetime.datetime]):
    """An aware moment in UTC; SQLite keeps it without its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        if value is None:
            return None
        utc = value.astimezone(datetime.UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        if value is None:
            return None
        return value.astimezone(datetime.UTC) if value.tzinfo else value.replace(tzinfo=datetime.UTC)


def one_of(members: type[StrEnum], name: str) -> Enum:
    """Return a column type for the members' values, held by a CHECK constraint."""
    return Enum(
        members,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=16,
        values_callable=lambda enum: [member.value for member in enum],
    )


class Record(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's own way to say it
        datetime.datetime: UtcDateTime(),
        str: Text(),
        dict[str, Any]: Json,
    }


class JobRecord(Record):
    __tablename__ = "jobs"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """UUIDv7: sorts by creation."""
    tenant_id: Mapped[str]
    state: Mapped[JobState] = mapped_column(one_of(JobState, "state"))
    outcome: Mapped[JobOutcome | None] = mapped_column(one_of(JobOutcome, "outcome"))
    """Set once, with the state `ended`."""
    queue: Mapped[str]
    """Class of workers that may run it."""
    priority: Mapped[int] = mapped_column()
    recipe: Mapped[dict[str, Any]] = mapped_column(Json)
    """Complete: defaults filled in."""
    recipe_fingerprint: Mapped[str]
    style_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("styles.id"))
    source: Mapped[dict[str, Any]] = mapped_column(Json)
    output_url: Mapped[str]
    idempotency_key: Mapped[str | None]
    request_sha256: Mapped[str]
    """Of the request's canonical JSON: tells a repeated request from another one under the same key."""
    planned_item_count: Mapped[int] = mapped_column(default=0)
    """Items appended so far; grows with each chunk until `planned_at`."""
    planned_shard_count: Mapped[int] = mapped_column(default=0)
    bad_row_count: Mapped[int] = mapped_column(default=0)
    passed_over_count: Mapped[int] = mapped_column(default=0)
    """Objects of a prefix whose names are not those of pictures."""
    plan_cursor: Mapped[str | None]
    """Where the planner goes on after a crash: the last key of a prefix, the last row of a manifest."""
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Why the whole job failed: code, message, and rows for a bad manifest."""
    version: Mapped[int] = mapped_column(default=1)
    """Grows with each move and each change that a person makes; not with the counts."""
    max_workers: Mapped[int | None]
    """Most workers that may hold its shards at the same time."""
    not_before_at: Mapped[datetime.datetime | None]
    """Nothing of it runs earlier; it is planned before."""
    deadline_at: Mapped[datetime.datetime | None]
    """From then on it is cancelled, and ends as expired."""
    failure_policy: Mapped[dict[str, Any]] = mapped_column(Json)
    """What happens when too many items fail: see `jobs.recipes.FailurePolicy`."""
    require_confirmation: Mapped[bool] = mapped_column(default=False)
    """Whether it waits, paused, when it is planned; false from its confirmation on."""
    pause_reason: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Code and message; null unless paused."""
    cancel_mode: Mapped[CancelMode | None] = mapped_column(one_of(CancelMode, "cancel_mode"))
    """Set with the state `cancelling`."""
    parent_job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    """The job whose items it tries again."""
    rescued_count: Mapped[int] = mapped_column(default=0)
    """Leases on its shards that expired: deaths of workers, mostly."""
    counts_at_resume: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """What the breakers leave out, since a person resumed it all the same: see `jobs.failure_policy`."""
    retention_days: Mapped[int | None]
    """Days after its end for which its rows are kept; null: for ever."""
    outputs_expire: Mapped[bool] = mapped_column(default=False)
    """Whether its pictures and files go with its rows."""
    expires_at: Mapped[datetime.datetime | None]
    """Set at its end, from `retention_days`."""
    lease_token: Mapped[int] = mapped_column(BigInteger, default=0)
    """Grows at each claim of the job itself, for planning, cancelling or finishing."""
    lease_expires_at: Mapped[datetime.datetime | None]
    lease_attempt: Mapped[int] = mapped_column(default=0)
    """Claims of the job itself since it last made progress; bounds how often a failing step is tried."""
    worker_id: Mapped[uuid.UUID | None]
    presence_key: Mapped[int | None] = mapped_column(BigInteger)
    """Of the lock of the worker that holds the job itself, as with a shard."""
    created_at: Mapped[datetime.datetime]
    planned_at: Mapped[datetime.datetime | None]
    """Set when the source has been read to its end: the total is known from then on."""
    started_at: Mapped[datetime.datetime | None]
    """Set at the first claim of a shard."""
    paused_at: Mapped[datetime.datetime | None]
    """Null unless paused."""
    cancelling_at: Mapped[datetime.datetime | None]
    expired_at: Mapped[datetime.datetime | None]
    """Set when its deadline stopped it."""
    ended_at: Mapped[datetime.datetime | None]

    __table_args__ = (
        UniqueConstraint("tenant_id", "idempotency_key"),
        Index("ix_jobs_tenant_id_id", "tenant_id", "id"),
        Index(  # a claim asks for the first claimable job of each tenant
            "ix_jobs_open",
            "queue",
            "tenant_id",
            priority.desc(),
            "id",
            postgresql_where=text("state <> 'ended'"),
            sqlite_where=text("state <> 'ended'"),
        ),
        Index(
            "ix_jobs_deadline_at",
            "deadline_at",
            postgresql_where=text("deadline_at IS NOT NULL AND state <> 'ended'"),
            sqlite_where=text("deadline_at IS NOT NULL AND state <> 'ended'"),
        ),
        Index("ix_jobs_parent_job_id", "parent_job_id"),
        Index(
            "ix_jobs_expires_at",
            "expires_at",
            postgresql_where=text("expires_at IS NOT NULL"),
            sqlite_where=text("expires_at IS NOT NULL"),
        ),
        Index(
            "ix_jobs_presence_key",
            "presence_key",
            postgresql_where=text("presence_key IS NOT NULL"),
            sqlite_where=text("presence_key IS NOT NULL"),
        ),
        CheckConstraint("(state = 'ended') = (outcome IS NOT NULL)", name="outcome_when_ended"),
    )


class ItemRecord(Record):
    """Appended while planning, never updated."""

    __tablename__ = "items"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
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
    milliseconds: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Per stage: read, decode, model, encode, write."""
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


class StyleRecord(Record):
    """A named look: its reference pictures lie in the service's storage. Never changed."""

    __tablename__ = "styles"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    name: Mapped[str]
    references: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    """Of each picture: url, sha256, bytes, file name as uploaded."""
    sha256: Mapped[str]
    """Of the sorted digests of the pictures: equal for equal references."""
    created_at: Mapped[datetime.datetime]

    __table_args__ = (UniqueConstraint("tenant_id", "name"),)


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


class TenantRecord(Record):
    """A customer of this service, and its share of the workers."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    allowed_prefixes: Mapped[list[str] | None] = mapped_column(Json)
    """Where its sources and outputs may lie; null: wherever the service's settings allow."""
    weight: Mapped[float] = mapped_column(Float, default=1.0)
    """Its share, beside the other tenants with work of the same priority."""
    max_workers: Mapped[int | None]
    """Most workers that may hold its shards at the same time, all its jobs together."""
    max_items_per_minute: Mapped[int | None]
    """Items that its jobs may start, on average."""
    virtual_time: Mapped[float] = mapped_column(Float, default=0.0)
    """Items that it was given beside others ÷ its weight: who has least is next. See `jobs.fairness`."""
    virtual_start: Mapped[float] = mapped_column(Float, default=0.0)
    """Its virtual time before the last shard."""
    served_at: Mapped[datetime.datetime | None]
    """Its last claim that was put to its account: not those that it made without rivals and without a rate."""
    rate_balance: Mapped[float] = mapped_column(Float, default=0.0)
    """Items that it may start at once, at `served_at`; below 0 after a shard that was larger."""
    created_at: Mapped[datetime.datetime]

    __table_args__ = (CheckConstraint("weight > 0", name="weight_above_zero"),)


class ApiKeyRecord(Record):
    """A secret that speaks for a tenant. Only its digest is kept."""

    __tablename__ = "api_keys"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    created_at: Mapped[datetime.datetime]


class EventRecord(Record):
    """Something that happened to a job, written in the transaction in which it did. Never changed.

    A job's events are written while its row is locked, so their ids grow in the order of their commits.
    """

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(RowNumber, Identity(), primary_key=True)
    tenant_id: Mapped[str]
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    kind: Mapped[str]
    """`job.` and a state, or what was done."""
    actor: Mapped[str]
    """Who did it: `tenant`, `worker` or `service`."""
    data: Mapped[dict[str, Any]] = mapped_column(Json)
    happened_at: Mapped[datetime.datetime]

    __table_args__ = (Index("ix_events_job_id_id", "job_id", "id"),)


class WebhookRecord(Record):
    """An address of a tenant's that wants to hear of events."""

    __tablename__ = "webhooks"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    url: Mapped[str]
    kinds: Mapped[list[str] | None] = mapped_column(Json)
    """Of events; null: all."""
    secrets: Mapped[list[str]] = mapped_column(Json)
    """One, or two while they are being exchanged: each message is signed with all."""
    created_at: Mapped[datetime.datetime]
    disabled_at: Mapped[datetime.datetime | None]

    __table_args__ = (Index("ix_webhooks_tenant_id", "tenant_id"),)


class WebhookDeliveryRecord(Record):
    """The outbox: one event on its way to one webhook."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    """The message's id: the same in every attempt, so that receivers can tell a repetition."""
    webhook_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))
    state: Mapped[DeliveryState] = mapped_column(one_of(DeliveryState, "state"))
    attempt: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime.datetime]
    """When to try next. A claim moves it on by a lease, so a sender that dies is followed by another."""
    log: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    """Of each attempt: when, the answer's status or what went wrong, milliseconds."""
    created_at: Mapped[datetime.datetime]
    ended_at: Mapped[datetime.datetime | None]
    """When it was delivered or given up; null while it is pending."""

    __table_args__ = (
        Index(
            "ix_webhook_deliveries_due_at",
            "due_at",
            postgresql_where=text("state = 'pending'"),
            sqlite_where=text("state = 'pending'"),
        ),
        Index(
            "ix_webhook_deliveries_ended_at",
            "ended_at",
            postgresql_where=text("ended_at IS NOT NULL"),
            sqlite_where=text("ended_at IS NOT NULL"),
        ),
        UniqueConstraint("webhook_id", "event_id"),
        Index("ix_webhook_deliveries_event_id", "event_id"),
    )
