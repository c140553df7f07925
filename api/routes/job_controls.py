"""What a person may ask of jobs that exist: pause, resume, cancel, change, retry; one job, or many at once."""

from __future__ import annotations

import http
import uuid
from typing import Annotated

from fastapi import APIRouter, Body, Header, HTTPException, Response

from api.answers import JOB_HEADERS, job_answer, problems
from api.enqueueing import ENQUEUED, CurrentEnqueuer, nothing_enqueued
from api.parts import AppParts, CurrentTenant, Parts
from api.schemas.controls import BulkReport, Matched
from api.schemas.jobs import Job
from api.tags import versions_of
from jobs import controls
from jobs.bulk import do_in_bulk
from jobs.queries import find_job
from jobs.requests import BulkRequest, CancelRequest, JobChanges, RetryRequest
from jobs.retrying import child_request

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

RINGS = 8  # workers woken at once

IfMatch = Annotated[
    str | None, Header(description="`ETag` of the job as the caller knows it; its counts may have moved on.")
]


@router.post("/bulk", responses=problems(400, 413, 422, 503))
def control_in_bulk(parts: AppParts, tenant: CurrentTenant, request: Annotated[BulkRequest, Body()]) -> BulkReport:
    """Pause, resume or cancel every job that fits a filter; up to 100 in one call, the oldest first."""
    with parts.database.transaction() as session:
        done = do_in_bulk(session, tenant, request)
    for queue in done.queues:
        _ring(parts, queue)
    return BulkReport(matched=done.matched, changed=done.changed, more=done.more)


@router.api_route("/bulk", methods=["GET", "PATCH"], include_in_schema=False)
def refuse_bulk_as_job() -> None:
    """Say that only POST is allowed: without this, `bulk` would be taken for a job's id."""
    raise HTTPException(http.HTTPStatus.METHOD_NOT_ALLOWED)


@router.patch("/{job_id}", responses={200: {"headers": JOB_HEADERS}, **problems(400, 404, 409, 412, 413, 422, 503)})
def change_job(
    parts: AppParts,
    tenant: CurrentTenant,
    response: Response,
    job_id: uuid.UUID,
    changes: Annotated[JobChanges, Body()],
    if_match: IfMatch = None,
) -> Job:
    """Change how a job is run while it has not ended. The next claim obeys it."""
    with parts.database.transaction() as session:
        status = controls.change(session, tenant, job_id, changes, versions=versions_of(if_match))
    _ring(parts, status.job.queue)
    return job_answer(response, status)


@router.post("/{job_id}/pause", responses={200: {"headers": JOB_HEADERS}, **problems(404, 409, 412, 413, 422, 503)})
def pause_job(
    parts: AppParts, tenant: CurrentTenant, response: Response, job_id: uuid.UUID, if_match: IfMatch = None
) -> Job:
    """Pause a job: nothing more of it starts. A source that is being read is read on. Safe to repeat."""
    with parts.database.transaction() as session:
        return job_answer(response, controls.pause(session, tenant, job_id, versions=versions_of(if_match)))


@router.post("/{job_id}/resume", responses={200: {"headers": JOB_HEADERS}, **problems(404, 409, 412, 413, 422, 503)})
def resume_job(
    parts: AppParts, tenant: CurrentTenant, response: Response, job_id: uuid.UUID, if_match: IfMatch = None
) -> Job:
    """Let a paused job go on, or confirm one that waits for that. Safe to repeat."""
    with parts.database.transaction() as session:
        status = controls.resume(session, tenant, job_id, versions=versions_of(if_match))
    _ring(parts, status.job.queue)
    return job_answer(response, status)


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    responses={
        200: {"model": Job, "description": "Too late: the job is finishing or has ended, and stays as it is."},
        202: {"headers": JOB_HEADERS},
        **problems(400, 404, 412, 413, 422, 503),
    },
)
def cancel_job(
    parts: AppParts,
    tenant: CurrentTenant,
    response: Response,
    job_id: uuid.UUID,
    request: Annotated[CancelRequest | None, Body()] = None,
    if_match: IfMatch = None,
) -> Job:
    """Cancel a job: what has settled stays, what is pending gets cancelled. Safe to repeat."""
    mode = (request or CancelRequest()).mode
    with parts.database.transaction() as session:
        status, cancelling = controls.cancel(session, tenant, job_id, mode=mode, versions=versions_of(if_match))
    if cancelling:
        parts.doorbell.ring("plan", status.job.queue)
    else:
        response.status_code = 200
    return job_answer(response, status)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    responses={
        200: {"model": Matched, "description": "With `dry_run`: how many items would be tried again."},
        **ENQUEUED,
        **problems(400, 404, 409, 412, 413, 422, 503),
    },
)
def retry_job(
    enqueuer: CurrentEnqueuer,
    job_id: uuid.UUID,
    request: Annotated[RetryRequest | None, Body()] = None,
    if_match: IfMatch = None,
) -> Job:
    """Try items of an ended job again, as a new job whose pictures go to the same places."""
    asked = request or RetryRequest()
    with enqueuer.parts.database.reading() as session:
        parent = find_job(session, enqueuer.tenant, job_id)
        controls.check_version(parent, versions_of(if_match))
        child = child_request(parent, asked)
    if asked.dry_run:
        return nothing_enqueued(Matched(matched=enqueuer.check(child).retried_count or 0))
    return enqueuer.enqueue(child)


def _ring(parts: Parts, queue: str) -> None:
    """Wake workers, so that a change acts now rather than at their next look."""
    parts.doorbell.ring("plan", queue)
    parts.doorbell.ring("work", queue, times=RINGS)
