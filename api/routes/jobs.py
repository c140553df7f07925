"""Jobs: make one, look at them and at their items."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.answers import JOB_HEADERS, POLL_SECONDS, TAGGED, job_answer, problems
from api.enqueueing import ENQUEUED, CurrentEnqueuer, nothing_enqueued
from api.parts import AppParts, CurrentTenant, GivenKey, Parts
from api.schemas.controls import JobPreview
from api.schemas.items import Item, ItemPage
from api.schemas.jobs import Job, JobPage
from api.tags import is_known, quoted, wait_seconds
from jobs.queries import JobStatus, find_job, item_page, job_page, job_status, job_status_by_key
from jobs.recipes import JobRequest
from jobs.states import ItemState, JobState
from jobs.tenants import tenant_of_key

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

MAX_ITEM_NO = 2**31 - 1
LOOK_SECONDS = 0.5  # between two looks of a caller that waits


@router.post(
    "",
    status_code=202,
    responses={
        200: {"model": JobPreview, "description": "With `validate_only`: what would be enqueued. Nothing was."},
        **ENQUEUED,
        **problems(400, 409, 413, 422, 503),
    },
)
def create_job(enqueuer: CurrentEnqueuer, request: Annotated[JobRequest, Body()]) -> Job:
    """Enqueue a job: one recipe for every picture of a source."""
    if request.validate_only:
        return nothing_enqueued(JobPreview.of(enqueuer.check(request)))
    return enqueuer.enqueue(request)


@router.get("", responses=problems(422, 503))
def list_jobs(
    parts: AppParts,
    tenant: CurrentTenant,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    cursor: Annotated[uuid.UUID | None, Query(description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> JobPage:
    """List jobs, newest first."""
    with parts.database.reading() as session:
        page = job_page(session, tenant, state=state, before=cursor, limit=limit)
    data = [Job.of(status) for status in page.rows]
    return JobPage(data=data, next_cursor=str(data[-1].id) if page.more else None)


@router.get(
    "/{job_id}",
    responses={
        200: {"headers": JOB_HEADERS},
        304: {"description": "The job is still as the caller knows it.", "headers": TAGGED},
        **problems(404, 422, 503),
    },
)
async def get_job(
    parts: AppParts,
    key: GivenKey,
    request: Request,
    response: Response,
    job_id: uuid.UUID,
    if_none_match: Annotated[str | None, Header(description="`ETag` of the answer before.")] = None,
    prefer: Annotated[
        str | None,
        Header(description="`wait=N`: with If-None-Match, wait up to N ≤ 30 seconds for a change before answering."),
    ] = None,
) -> Job:
    """Look at a job: its state, counts that add up, rate and estimated end.

    Equal tags mean that nothing but the progress can have changed.
    """
    status = await run_in_threadpool(_look, parts, key, job_id)
    seconds = wait_seconds(prefer)
    if seconds and is_known(status.tag, if_none_match):
        with parts.watchers.place() as free:
            if free:
                response.headers["Preference-Applied"] = f"wait={seconds}"
                status = await _changed(parts, key, request, status, seconds)
    if is_known(status.tag, if_none_match):
        headers = {"ETag": quoted(status.tag), "Retry-After": str(POLL_SECONDS)}
        return Response(status_code=304, headers=headers | dict(response.headers))  # type: ignore[return-value]
    return job_answer(response, status)


@router.get("/{job_id}/items", responses=problems(404, 422, 503))
def list_items(
    parts: AppParts,
    tenant: CurrentTenant,
    job_id: uuid.UUID,
    state: Annotated[ItemState | None, Query(description="Only items in this state.")] = None,
    error_code: Annotated[
        str | None, Query(pattern=r"^[a-z0-9_]{1,64}$", description="Only items with this error code.")
    ] = None,
    after: Annotated[int | None, Query(ge=0, le=MAX_ITEM_NO, description="`next_after` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ItemPage:
    """List the items of a job, in the order of its source."""
    with parts.database.reading() as session:
        job = find_job(session, tenant, job_id)
        behind = -1 if after is None else after
        page = item_page(session, job, state=state, error_code=error_code, after=behind, limit=limit)
    data = [Item.of(job, status) for status in page.rows]
    return ItemPage(data=data, next_after=data[-1].item_no if page.more else None)


def _look(parts: Parts, key: str | None, job_id: uuid.UUID) -> JobStatus:
    """Look at a job for whoever has this key: in one thread and one session, for this is what is asked most."""
    with parts.database.reading() as session:
        status = job_status_by_key(session, key, job_id)
        return status or job_status(session, tenant_of_key(session, parts.settings, key), job_id)


async def _changed(parts: Parts, key: str | None, request: Request, known: JobStatus, seconds: int) -> JobStatus:
    """Return the job as soon as it is another than a caller knows, or as it is after so many seconds."""
    looks = int(seconds / LOOK_SECONDS)
    status = known
    while looks and status.tag == known.tag and status.job.state is not JobState.ENDED:
        await parts.watchers.pause(LOOK_SECONDS)
        if parts.watchers.stopping or await request.is_disconnected():
            break
        status = await run_in_threadpool(_look, parts, key, known.job.id)
        looks -= 1
    return status
