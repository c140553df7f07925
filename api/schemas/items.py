"""Bodies of answers about items and their results."""

from __future__ import annotations

import datetime
import uuid
from typing import Any, Self

from pydantic import Field

from api.schemas.body import Body
from api.schemas.jobs import job_path
from jobs.parts import Part
from jobs.queries import ItemStatus
from jobs.records import JobRecord
from jobs.result_lines import picture_url
from jobs.states import ItemState


class ItemError(Body):
    code: str
    message: str


class Item(Body):
    """An item and what became of it."""

    item_no: int = Field(description="0, 1, 2 … in the order of the source.")
    product_id: str | None
    source_url: str
    output_url: str | None = Field(description="Null unless there is a picture.")
    state: ItemState
    error: ItemError | None
    sha256: str | None
    bytes: int | None
    width: int | None
    height: int | None
    milliseconds: dict[str, float] | None = Field(description="Per stage of the worker.")
    device_seconds: float | None = Field(
        description="Its share of the time for which its batches held the device; null where no device had it."
    )
    cost: float | None = Field(description="Of these device-seconds; null without them, or where the price is unknown.")
    engine: str | None = Field(description="Digest of what computed it; its facts are in the job's file `engines`.")
    measures: dict[str, float] | None = Field(
        description="What was measured of the picture, see GET /v1/jobs/{id}/measures; null where there is none."
    )
    attempt: int | None = Field(description="The attempt that settled it, from 1.")
    attributes: dict[str, Any] | None = Field(description="Further columns of the manifest.")
    settled_at: datetime.datetime | None

    @classmethod
    def of(cls, job: JobRecord, status: ItemStatus) -> Self:
        item, result = status.item, status.result
        return cls(
            item_no=item.item_no,
            product_id=item.product_id,
            source_url=item.source_url,
            output_url=picture_url(job, item.output_key, status.state),
            state=status.state,
            error=(
                ItemError(code=result.error_code, message=result.error_message or "")
                if result and result.error_code
                else None
            ),
            sha256=result and result.sha256,
            bytes=result and result.bytes,
            width=result and result.width,
            height=result and result.height,
            milliseconds=result and result.milliseconds,
            device_seconds=result and result.device_seconds,
            cost=result and result.cost,
            engine=result and result.engine,
            measures=result and result.measures,
            attempt=result and result.attempt,
            attributes=item.attributes,
            settled_at=result and result.settled_at,
        )


class ItemPage(Body):
    data: list[Item]
    next_after: int | None = Field(description="Give it as `after` for the next page; null on the last.")


class ResultPart(Body):
    """The results of a run of items. It never changes."""

    no: int
    first_item_no: int
    item_count: int
    bytes: int
    sha256: str
    url: str = Field(description="Path of its lines.")

    @classmethod
    def of(cls, job_id: uuid.UUID, part: Part) -> Self:
        return cls(
            no=part.no,
            first_item_no=part.first_item_no,
            item_count=part.item_count,
            bytes=part.bytes,
            sha256=part.sha256,
            url=f"{job_path(job_id)}/results/{part.no}",
        )


class ResultPartPage(Body):
    complete: bool = Field(description="Whether every item is settled: all parts together are the job's manifest.")
    parts: list[ResultPart]
    next_after_part: int | None = Field(description="Give it as `after_part` for the next page; null on the last.")
