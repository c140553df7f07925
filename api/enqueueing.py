"""From a request to a job, for the endpoints that make one."""

from __future__ import annotations

from fastapi import Response

from api.answers import job_answer
from api.parts import Parts
from api.schemas.jobs import Job, job_path
from jobs import styles
from jobs.checks import CheckedRequest, check_request
from jobs.database import now
from jobs.enqueue import enqueue, find_replay
from jobs.queries import job_status
from jobs.recipes import JobRequest
from jobs.retrying import find_retried
from jobs.tenants import Tenant


def check(parts: Parts, tenant: Tenant, request: JobRequest) -> CheckedRequest:
    """Check a request against styles, cards, storage, the job that it retries and the clock."""
    with parts.database.reading() as session:
        style = styles.find(session, tenant, request.recipe.style)
        retried = find_retried(session, tenant, request.source)
        moment = now(session)
    return check_request(
        request, tenant, shelf=parts.shelf, storages=parts.storages, style=style, retried=retried, moment=moment
    )


def enqueue_request(
    parts: Parts, tenant: Tenant, response: Response, request: JobRequest, idempotency_key: str | None
) -> Job:
    """Insert the job of a request and ring for a planner; or find the job that an equal request made before."""
    with parts.database.reading() as session:
        job = find_replay(session, tenant, request, idempotency_key)
    replayed = job is not None
    if job is None:
        checked = check(parts, tenant, request)
        with parts.database.transaction() as session:
            enqueued = enqueue(session, checked, tenant, settings=parts.settings, idempotency_key=idempotency_key)
        job, replayed = enqueued.job, enqueued.replayed
    if not replayed:
        parts.doorbell.ring("plan", job.queue)
    response.headers["Location"] = job_path(job.id)
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    with parts.database.reading() as session:
        return job_answer(response, job_status(session, tenant, job.id))
