"""Jobs: requests that were accepted, and how far each is."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from jobs.records.record import Json, Record, one_of
from jobs.states import CancelMode, JobOutcome, JobState


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
