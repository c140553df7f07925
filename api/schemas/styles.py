"""Bodies of answers about styles."""

from __future__ import annotations

import datetime
import uuid
from typing import Self

from pydantic import Field

from api.schemas.body import Body
from jobs.records import StyleRecord


class StyleReference(Body):
    url: str
    sha256: str
    bytes: int
    file_name: str = Field(description="As it was uploaded.")


class Style(Body):
    """A named look."""

    id: uuid.UUID
    name: str
    references: list[StyleReference]
    sha256: str = Field(description="Equal for equal pictures, whatever their order and names.")
    created_at: datetime.datetime

    @classmethod
    def of(cls, style: StyleRecord) -> Self:
        return cls.model_validate(style)


class StylePage(Body):
    data: list[Style]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")
