"""Bodies of answers about controls and events. Requests are in `jobs.requests`."""

from __future__ import annotations

import datetime
import uuid
from typing import Any, Self

from pydantic import Field

from api.schemas.body import Body
from api.schemas.jobs import JobCounts, JobProgress
from jobs.checks import CheckedRequest
from jobs.queries import JobStatus
from jobs.recipes import FailurePolicy, Recipe, Retention, Source
from jobs.records import EventRecord
from jobs.states import JobState


class JobPreview(Body):
    """What a request would enqueue."""

    valid: bool = Field(description="Always true: a request that is not is refused.")
    recipe: Recipe = Field(description="Complete: the model's defaults filled in.")
    recipe_fingerprint: str = Field(description="Equal for recipes that give equal pictures.")
    source: Source = Field(discriminator="type")
    matched: int | None = Field(description="Items of the job that is retried; null for sources yet to be read.")
    output_url: str | None = Field(description="Null: a folder of the job's own in the service's storage.")
    priority: int
    max_workers: int | None
    not_before_at: datetime.datetime | None
    deadline_at: datetime.datetime | None
    require_confirmation: bool
    failure_policy: FailurePolicy
    retention: Retention | None

    @classmethod
    def of(cls, checked: CheckedRequest) -> Self:
        request = checked.request
        return cls(
            valid=True,
            recipe=checked.recipe,
            recipe_fingerprint=checked.fingerprint,
            source=checked.source,
            matched=checked.retried_count,
            output_url=str(checked.output) if checked.output else None,
            priority=request.priority,
            max_workers=request.max_workers,
            not_before_at=request.not_before_at,
            deadline_at=request.deadline_at,
            require_confirmation=request.require_confirmation,
            failure_policy=request.failure_policy,
            retention=request.retention,
        )


class Matched(Body):
    """What a dry run found."""

    matched: int


class BulkReport(Body):
    """What a bulk request found and did."""

    matched: int = Field(description="Jobs that fitted, before this call.")
    changed: int = Field(description="Jobs that this call changed; 0 in a dry run.")
    more: bool = Field(description="Whether some are left: send the same request again.")


class Event(Body):
    """Something that happened to a job."""

    id: int = Field(description="Grows with each event of a job.")
    job_id: uuid.UUID
    kind: str = Field(description="`job.` and the state that it moved to, or what was done.", examples=["job.paused"])
    actor: str = Field(description="Who did it: tenant, worker or service.")
    data: dict[str, Any]
    happened_at: datetime.datetime

    @classmethod
    def of(cls, event: EventRecord) -> Self:
        return cls.model_validate(event)


class EventPage(Body):
    data: list[Event]
    next_after: int | None = Field(description="Give it as `after` for the next page; null on the last.")


class ProgressEvent(Body):
    """How far a job is, while it is watched. It is not kept, so it has no id."""

    state: JobState
    planned: bool
    counts: JobCounts
    progress: JobProgress

    @classmethod
    def of(cls, status: JobStatus) -> Self:
        return cls(
            state=status.job.state,
            planned=status.job.planned_at is not None,
            counts=JobCounts.model_validate(status.counts),
            progress=JobProgress.model_validate(status.progress),
        )
