"""Bodies of answers about the service itself: its models, its health."""

from __future__ import annotations

from pydantic import Field

from api.schemas.body import Body
from jobs.cards import Card


class ModelList(Body):
    data: list[Card]


class Health(Body):
    alive: bool


class Check(Body):
    ok: bool
    required: bool = Field(description="Whether the API is not ready without it.")
    seconds: float
    error: str | None


class ReadinessReport(Body):
    ready: bool
    checks: dict[str, Check]
