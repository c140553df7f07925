"""Events, and the webhooks that are told of them."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from jobs.records.record import Json, Record, RowNumber, one_of
from jobs.states import DeliveryState


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
