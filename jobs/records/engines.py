"""What computes pictures, so that each can be traced to it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from jobs.records.record import Record


class EngineRecord(Record):
    """Everything beside source and recipe that decides a picture's bytes. Written once, kept for ever: they are few."""

    __tablename__ = "engines"

    digest: Mapped[str] = mapped_column(primary_key=True)
    """Of the facts; see `worker.engine`."""
    facts: Mapped[dict[str, Any]]
