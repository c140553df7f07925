"""Bodies of answers. Requests are `jobs.recipes.JobRequest`; models answer with their `jobs.cards.Card`."""

from __future__ import annotations

import datetime
import uuid
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from jobs.addresses import MAX_URL_LENGTH
from jobs.cards import Card
from jobs.deliveries import DeliveryStatus
from jobs.events import EventKind
from jobs.output_keys import files_url
from jobs.parts import Part
from jobs.queries import ItemStatus, JobStatus
from jobs.recipes import FailurePolicy, Recipe, Retention, Source
from jobs.records import JobRecord, StyleRecord, WebhookRecord
from jobs.retrying import retention_of
from jobs.states import CancelMode, DeliveryState, ItemState, JobOutcome, JobState


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class Fault(Body):
    """One thing that is wrong with a request."""

    field: str = Field(description="Dotted path in the body, or query.…, path.…, header.…")
    value: Any = Field(description="What was sent, shortened; null if nothing was.")
    remedy: str = Field(description="What to send instead.")


class ProblemDetails(Body):
    """Why a request was not done (RFC 9457)."""

    type: str = Field(description="Stable URI of the kind of problem.", examples=["urn:restyle:problem:unknown_model"])
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What happened, for people.")
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="What happened, for programs. Stable.", examples=["unknown_model"])
    errors: list[Fault] = Field(description="Each wrong field of the request with 422; empty otherwise.")
    retryable: bool = Field(description="Whether the same request may succeed later.")


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
    attempt: int | None = Field(description="The attempt that settled it, from 1.")
    attributes: dict[str, Any] | None = Field(description="Further columns of the manifest.")
    settled_at: datetime.datetime | None

    @classmethod
    def of(cls, job: JobRecord, status: ItemStatus) -> Self:
        item, result = status.item, status.result
        written = status.state in (ItemState.SUCCEEDED, ItemState.REUSED, ItemState.REJECTED)
        return cls(
            item_no=item.item_no,
            product_id=item.product_id,
            source_url=item.source_url,
            output_url=f"{job.output_url.rstrip('/')}/{item.output_key}" if written else None,
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


class WebhookRequest(BaseModel):
    """A request to be told of events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        min_length=1,
        max_length=MAX_URL_LENGTH,
        description="https://…, at a public address.",
        examples=["https://shop.example/restyle"],
    )
    kinds: list[EventKind] | None = Field(
        None, min_length=1, max_length=len(EventKind), description="Events to be told of; null: all."
    )


class Webhook(Body):
    """An address that is told of events."""

    id: uuid.UUID
    url: str
    kinds: list[EventKind] | None = Field(description="Events that it is told of; null: all.")
    secret_count: int = Field(description="2 between a rotation and the next: messages carry a signature of each.")
    created_at: datetime.datetime
    disabled_at: datetime.datetime | None = Field(
        description="Since when nothing is sent: you disabled it, or its receiver answered 410; null: enabled."
    )

    @classmethod
    def of(cls, webhook: WebhookRecord, **more: Any) -> Self:
        return cls(
            id=webhook.id,
            url=webhook.url,
            kinds=webhook.kinds and [EventKind(kind) for kind in webhook.kinds],
            secret_count=len(webhook.secrets),
            created_at=webhook.created_at,
            disabled_at=webhook.disabled_at,
            **more,
        )


class WebhookWithSecret(Webhook):
    secret: str = Field(description="The newest secret. It is shown only here.", examples=["whsec_…"])


class WebhookList(Body):
    data: list[Webhook]


class DeliveryAttempt(Body):
    at: datetime.datetime
    status: int | None = Field(description="HTTP status of the answer; null if there was none.")
    error: str | None = Field(description="Why there was no answer.")
    milliseconds: int


class Delivery(Body):
    """A message to a webhook."""

    id: uuid.UUID = Field(description="The `webhook-id` of the message, the same in every attempt.")
    event_id: int
    kind: EventKind
    job_id: uuid.UUID
    state: DeliveryState
    attempt: int = Field(description="Attempts so far, since the last replay.")
    due_at: datetime.datetime | None = Field(description="When it is tried next; null unless pending.")
    log: list[DeliveryAttempt] = Field(description="The latest attempts, the newest last.")
    created_at: datetime.datetime
    ended_at: datetime.datetime | None

    @classmethod
    def of(cls, status: DeliveryStatus) -> Self:
        delivery, event = status.delivery, status.event
        return cls(
            id=delivery.id,
            event_id=event.id,
            kind=EventKind(event.kind),
            job_id=event.job_id,
            state=delivery.state,
            attempt=delivery.attempt,
            due_at=delivery.due_at if delivery.state is DeliveryState.PENDING else None,
            log=[DeliveryAttempt.model_validate(entry) for entry in delivery.log],
            created_at=delivery.created_at,
            ended_at=delivery.ended_at,
        )


class DeliveryPage(Body):
    data: list[Delivery]
    next_cursor: int | None = Field(description="Give it as `cursor` for the next page; null on the last.")


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


def job_path(job_id: uuid.UUID) -> str:
    return f"/v1/jobs/{job_id}"


def _links(job_id: uuid.UUID) -> JobLinks:
    path = job_path(job_id)
    parts = ("items", "events", "pause", "resume", "cancel", "retry")
    return JobLinks(self=path, **{part: f"{path}/{part}" for part in parts})


def _files(job: JobRecord) -> JobFiles | None:
    if job.state is not JobState.ENDED or (job.error or {}).get("code") == "files_not_written":
        return None
    folder = files_url(job.output_url, job.id)
    return JobFiles(
        manifest=f"{folder}manifest.jsonl",
        errors=f"{folder}errors.jsonl",
        contact_sheet_html=f"{folder}contact-sheet.html",
        contact_sheet_png=f"{folder}contact-sheet.png",
    )
