"""Bodies of answers about jobs."""

from __future__ import annotations

import datetime
import uuid
from typing import Self

from pydantic import ConfigDict, Field

from api.schemas.body import Body
from jobs.output_keys import files_url
from jobs.queries import JobStatus
from jobs.recipes import FailurePolicy, Recipe, Retention, Source
from jobs.records import JobRecord
from jobs.retrying import retention_of
from jobs.states import CancelMode, JobOutcome, JobState


class JobCounts(Body):
    """Items by state; `total` is the sum of all others but `bad_rows` and `passed_over`."""

    total: int = Field(description="Items found so far; final once `planned` is true.")
    pending: int
    succeeded: int
    reused: int
    rejected: int
    failed: int
    cancelled: int
    bad_rows: int = Field(description="Rows of a manifest that became no items: with any, the outcome is no success.")
    passed_over: int = Field(description="Objects of a prefix that are not named like pictures.")


class JobProgress(Body):
    fraction: float | None = Field(description="Settled items ÷ total; null until the total is known.")
    items_per_second: float | None = Field(description="Settled items ÷ seconds since the job started.")
    seconds_left: float | None = Field(description="At this rate; null while that says nothing.")
    eta_at: datetime.datetime | None


class JobFiles(Body):
    """What a job writes about itself when it ends."""

    manifest: str = Field(description="JSONL, a line per item.")
    errors: str = Field(description="JSONL, a line per item without a result; itself a manifest for the next job.")
    engines: str = Field(description="JSON: the facts of each `engine` that lines of the manifest name.")
    contact_sheet_html: str
    contact_sheet_png: str


class JobError(Body):
    """Why a whole job failed."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str


class PauseReason(Body):
    """Why a job is paused."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str


class JobLinks(Body):
    self: str
    items: str
    measures: str
    events: str
    pause: str
    resume: str
    cancel: str
    retry: str


class Job(Body):
    """A job as it is now."""

    id: uuid.UUID
    state: JobState
    outcome: JobOutcome | None = Field(description="How it ended; null until its state is `ended`.")
    operation: str
    recipe: Recipe = Field(description="Complete: the model's defaults filled in.")
    source: Source = Field(discriminator="type")
    output_url: str
    priority: int
    version: int = Field(description="Grows with each move and each change; give the ETag as If-Match to change it.")
    max_workers: int | None
    not_before_at: datetime.datetime | None
    deadline_at: datetime.datetime | None
    failure_policy: FailurePolicy
    require_confirmation: bool = Field(description="Whether it still has to be confirmed, by resuming it.")
    pause_reason: PauseReason | None = Field(description="Null unless paused.")
    cancel_mode: CancelMode | None
    parent_job_id: uuid.UUID | None = Field(description="The job whose items it tries again.")
    retention: Retention | None = Field(description="Null: it is remembered for ever.")
    rescued_count: int = Field(description="Leases of workers that expired with it: deaths, mostly.")
    planned: bool = Field(description="Whether the source has been read to its end, so that the total is known.")
    counts: JobCounts
    progress: JobProgress
    device_seconds: float = Field(description="For which its settled items held a device.")
    device_seconds_estimate: float | None = Field(
        description="Of the whole job, at the mean of the items that a device had so far; null while there is none, or "
        "the total is unknown."
    )
    cost: float | None = Field(
        description="Of these device-seconds, in the currency of RESTYLE_DEVICE_HOUR_COST; null while no device had an "
        "item, or where the price of one that did is unknown."
    )
    cost_estimate: float | None = Field(description="Of the whole job; null as above.")
    files: JobFiles | None = Field(description="Null until the job has ended.")
    error: JobError | None
    created_at: datetime.datetime
    planned_at: datetime.datetime | None
    started_at: datetime.datetime | None
    paused_at: datetime.datetime | None
    cancelling_at: datetime.datetime | None
    ended_at: datetime.datetime | None
    expires_at: datetime.datetime | None = Field(description="When its rows may be dropped.")
    links: JobLinks

    @classmethod
    def of(cls, status: JobStatus) -> Self:
        job = status.job
        return cls(
            id=job.id,
            state=job.state,
            outcome=job.outcome,
            operation=job.recipe["operation"],
            recipe=Recipe.model_validate(job.recipe),
            source=job.source,  # validated here
            output_url=job.output_url,
            priority=job.priority,
            version=job.version,
            max_workers=job.max_workers,
            not_before_at=job.not_before_at,
            deadline_at=job.deadline_at,
            failure_policy=FailurePolicy.model_validate(job.failure_policy),
            require_confirmation=job.require_confirmation,
            pause_reason=PauseReason.model_validate(job.pause_reason) if job.pause_reason else None,
            cancel_mode=job.cancel_mode,
            parent_job_id=job.parent_job_id,
            retention=retention_of(job),
            rescued_count=job.rescued_count,
            planned=job.planned_at is not None,
            counts=JobCounts.model_validate(status.counts),
            progress=JobProgress.model_validate(status.progress),
            device_seconds=status.device_seconds,
            device_seconds_estimate=status.device_seconds_estimate,
            cost=status.cost,
            cost_estimate=status.cost_estimate,
            files=_files(job),
            error=JobError.model_validate(job.error) if job.error else None,
            created_at=job.created_at,
            planned_at=job.planned_at,
            started_at=job.started_at,
            paused_at=job.paused_at,
            cancelling_at=job.cancelling_at,
            ended_at=job.ended_at,
            expires_at=job.expires_at,
            links=_links(job.id),
        )


class JobPage(Body):
    data: list[Job]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


def job_path(job_id: uuid.UUID) -> str:
    return f"/v1/jobs/{job_id}"


def _links(job_id: uuid.UUID) -> JobLinks:
    path = job_path(job_id)
    parts = ("items", "measures", "events", "pause", "resume", "cancel", "retry")
    return JobLinks(self=path, **{part: f"{path}/{part}" for part in parts})


def _files(job: JobRecord) -> JobFiles | None:
    if job.state is not JobState.ENDED or (job.error or {}).get("code") == "files_not_written":
        return None
    folder = files_url(job.output_url, job.id)
    return JobFiles(
        manifest=f"{folder}manifest.jsonl",
        errors=f"{folder}errors.jsonl",
        engines=f"{folder}engines.json",
        contact_sheet_html=f"{folder}contact-sheet.html",
        contact_sheet_png=f"{folder}contact-sheet.png",
    )
