"""Bodies of answers about styles."""

from __future__ import annotations

import datetime
import uuid
from typing import Self

from pydantic import Field

from api.schemas.body import Body
from jobs.plain import Plain
from jobs.records import StyleRecord
from jobs.styles import MAX_NAME_LENGTH, NAME_PATTERN


class StyleReference(Body):
    url: str
    sha256: str
    bytes: int
    file_name: str = Field(description="As it was uploaded.")
    weight: float = Field(1.0, description="How much it counts beside the others.")


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


class StyleShare(Plain):
    """A style's part in a mix."""

    style: str = Field(description="Its name.")
    weight: float = Field(strict=True, gt=0, le=1_000_000, description="How much it counts beside the others.")


class StyleMix(Plain):
    """A style to be made of others."""

    name: str = Field(pattern=NAME_PATTERN, max_length=MAX_NAME_LENGTH, description="Of the new style.")
    styles: list[StyleShare] = Field(min_length=2, max_length=16)


class StylePage(Body):
    data: list[Style]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")
