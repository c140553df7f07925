"""A job's events: as a stream while they happen, or page by page as its audit trail."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.sse import format_sse_event
from sqlalchemy.exc import SQLAlchemyError

from api.answers import problems
from api.parts import AppParts, CurrentTenant, Parts
from api.schemas.controls import Event, EventPage, ProgressEvent
from jobs.errors import Busy, NotFound
from jobs.queries import JobStatus, Page, event_page, find_job, job_status
from jobs.records import EventRecord
from jobs.states import JobState
from jobs.tenants import Tenant

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

LOOK_SECONDS = 1.0  # between two looks at the database, and between two events of progress
QUIET_SECONDS = 15.0  # after which a comment shows that the stream lives
RECONNECT_MILLISECONDS = 2_000
EVENTS = 100  # sent at a time
MAX_EVENT_ID = 2**63 - 1


def wants_stream(request: Request) -> bool:
    """Whether a caller takes events as they happen; who asks for JSON alone gets a page."""
    accepted = request.headers.get("accept", "*/*")
    return "application/json" not in accepted or "text/event-stream" in accepted


async def watching(parts: AppParts, request: Request) -> AsyncIterator[None]:
    """Hold one of the process's places for streams until the answer was sent to its end."""
    if not wants_stream(request):
        yield
        return
    with parts.watchers.place() as free:
        if not free:
            message = "this process serves as many streams as it may: try again, or ask for the job from time to time"
            raise Busy(message, code="too_many_streams")
        yield


@router.get(
    "/{job_id}/events",
    dependencies=[Depends(watching)],
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events, or with `Accept: application/json` a page of those that are kept.",
            "model": EventPage,
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(404, 422, 503),
    },
)
async def list_events(
    parts: AppParts,
    tenant: CurrentTenant,
    request: Request,
    job_id: uuid.UUID,
    after: Annotated[int, Query(ge=0, le=MAX_EVENT_ID, description="Only events behind this one.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of a page; a stream has no end but the job's.")] = 100,
    last_event_id: Annotated[
        int, Header(ge=0, le=MAX_EVENT_ID, description="`id` of the last event that was received.")
    ] = 0,
) -> Response:
    """Follow what happens to a job, or list what happened.

    The stream sends every kept event with its id and kind, events `progress` without an id at most once a second,
    and ends after the job has ended. Who comes back with Last-Event-ID misses nothing.
    """
    behind = max(after, last_event_id)
    if wants_stream(request):
        await run_in_threadpool(_look, parts, tenant, job_id, behind)  # what is not there is said before it starts
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _stream(parts, tenant, job_id, behind), media_type="text/event-stream", headers=headers
        )
    page = await run_in_threadpool(_page, parts, tenant, job_id, behind, limit)
    data = [Event.of(event) for event in page.rows]
    body = EventPage(data=data, next_after=data[-1].id if page.more else None)
    return JSONResponse(body.model_dump(mode="json"))


async def _stream(parts: Parts, tenant: Tenant, job_id: uuid.UUID, after: int) -> AsyncIterator[bytes]:
    tag, told_at = None, time.monotonic()
    yield format_sse_event(retry=RECONNECT_MILLISECONDS)
    while not parts.watchers.stopping:
        try:
            status, page = await run_in_threadpool(_look, parts, tenant, job_id, after)
        except (NotFound, SQLAlchemyError) as error:
            log.warning("stream_ended", job_id=str(job_id), error=str(error))
            return  # the caller comes back with the id of the last event
        for chunk in _told(status, page, is_new=status.tag != tag):
            told_at = time.monotonic()
            yield chunk
        after = page.rows[-1].id if page.rows else after
        if page.more:
            continue
        tag = status.tag
        if status.job.state is JobState.ENDED:
            return
        if time.monotonic() - told_at >= QUIET_SECONDS:
            told_at = time.monotonic()
            yield format_sse_event(comment="still here")
        await parts.watchers.pause(LOOK_SECONDS)


def _told(status: JobStatus, page: Page[EventRecord], *, is_new: bool) -> list[bytes]:
    """Return the events of one look: how far the job is, once the kept ones are all sent, and before the last."""
    told = [
        format_sse_event(event=event.kind, id=str(event.id), data_str=Event.of(event).model_dump_json())
        for event in page.rows
    ]
    if is_new and not page.more:
        progress = format_sse_event(event="progress", data_str=ProgressEvent.of(status).model_dump_json())
        told.insert(max(0, len(told) - 1), progress)
    return told


def _look(parts: Parts, tenant: Tenant, job_id: uuid.UUID, after: int) -> tuple[JobStatus, Page[EventRecord]]:
    with parts.database.reading() as session:
        status = job_status(session, tenant, job_id)  # first: an end that it tells of has its event in the page
        return status, event_page(session, job_id, after=after, limit=EVENTS)


def _page(parts: Parts, tenant: Tenant, job_id: uuid.UUID, after: int, limit: int) -> Page[EventRecord]:
    with parts.database.reading() as session:
        job = find_job(session, tenant, job_id)
        return event_page(session, job.id, after=after, limit=limit)
