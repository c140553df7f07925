"""Jobs: make one, look at them and at their items, cancel."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Response

from api.answers import LOCATION, POLL_SECONDS, REPLAYED, RETRY_AFTER, problems
from api.parts import AppParts, CurrentTenant
from api.schemas import Item, ItemPage, Job, JobPage, job_path
from jobs import styles
from jobs.checks import check_request
from jobs.controls import cancel
from jobs.enqueue import enqueue, find_replay
from jobs.queries import find_job, item_page, job_page, job_status
from jobs.recipes import JobRequest
from jobs.states import ItemState, JobState

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

MAX_ITEM_NO = 2**31 - 1
IDEMPOTENCY_KEY = r"^[\x21-\x7e]{1,255}$"


@router.post(
    "",
    status_code=202,
    responses={202: {"headers": LOCATION | RETRY_AFTER | REPLAYED}, **problems(400, 413, 422, 503)},
)
def create_job(
    parts: AppParts,
    tenant: CurrentTenant,
    response: Response,
    request: Annotated[JobRequest, Body()],
    idempotency_key: Annotated[
        str | None,
        Header(pattern=IDEMPOTENCY_KEY, description="Makes it safe to send a request again: one key, one job."),
    ] = None,
) -> Job:
    """Enqueue a job: one recipe for every picture of a source."""
    with parts.database.reading() as session:
        job = find_replay(session, tenant, request, idempotency_key)
        style = styles.find(session, tenant, request.recipe.style)
    replayed = job is not None
    if job is None:
        checked = check_request(request, tenant, shelf=parts.shelf, storages=parts.storages, style=style)
        with parts.database.transaction() as session:
            enqueued = enqueue(session, checked, tenant, settings=parts.settings, idempotency_key=idempotency_key)
        job, replayed = enqueued.job, enqueued.replayed
    if not replayed:
        parts.doorbell.ring("plan", job.queue)
    response.headers["Location"] = job_path(job.id)
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return _job(parts, tenant, response, job.id)


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


@router.get("/{job_id}", responses={200: {"headers": RETRY_AFTER}, **problems(404, 422, 503)})
def get_job(parts: AppParts, tenant: CurrentTenant, response: Response, job_id: uuid.UUID) -> Job:
    """Look at a job: its state, counts that add up, rate and estimated end."""
    return _job(parts, tenant, response, job_id)


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


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    responses={
        200: {"model": Job, "description": "Too late: the job is finishing or has ended, and stays as it is."},
        202: {"headers": RETRY_AFTER},
        **problems(404, 413, 422, 503),
    },
)
def cancel_job(parts: AppParts, tenant: CurrentTenant, response: Response, job_id: uuid.UUID) -> Job:
    """Cancel a job: what has settled stays, what is pending gets cancelled. Safe to repeat."""
    with parts.database.transaction() as session:
        status, cancelling = cancel(session, tenant, job_id)
    if cancelling:
        parts.doorbell.ring("plan", status.job.queue)
        response.headers["Retry-After"] = str(POLL_SECONDS)
    else:
        response.status_code = 200
    return Job.of(status)


def _job(parts: AppParts, tenant: CurrentTenant, response: Response, job_id: uuid.UUID) -> Job:
    with parts.database.reading() as session:
        status = job_status(session, tenant, job_id)
    if status.job.state is not JobState.ENDED:
        response.headers["Retry-After"] = str(POLL_SECONDS)
    return Job.of(status)
