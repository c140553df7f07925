"""Plain data: what requests and recipes are made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Plain(BaseModel):
    """Frozen data without unknown members."""

    model_config = ConfigDict(frozen=True, extra="forbid")
