"""Tenants, with the keys that speak for them and the styles that they own."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from sqlalchemy import CheckConstraint, Float, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from jobs.records.record import Json, Record


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
