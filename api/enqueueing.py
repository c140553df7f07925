"""From a request to a job, for the endpoints that make one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Response
from fastapi.responses import JSONResponse

from api.answers import JOB_HEADERS, LOCATION, REPLAYED, Declared, job_answer
from api.parts import AppParts, CurrentTenant, Parts
from api.schemas.body import Body
from api.schemas.jobs import Job, job_path
from jobs import styles
from jobs.checks import CheckedRequest, check_request
from jobs.database import now
from jobs.enqueue import enqueue, find_replay
from jobs.queries import job_status
from jobs.recipes import JobRequest
from jobs.retrying import find_retried
from jobs.tenants import Tenant

ENQUEUED: Declared = {202: {"headers": LOCATION | REPLAYED | JOB_HEADERS}}
IDEMPOTENCY_KEY = r"^[\x21-\x7e]{1,255}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueuer:
    """Makes a job for whoever asks, and says so in the headers of the answer."""

    parts: Parts
    tenant: Tenant
    idempotency_key: str | None
    response: Response

    def check(self, request: JobRequest) -> CheckedRequest:
        """Check a request against styles, cards, storage, the job that it retries and the clock."""
        parts, tenant = self.parts, self.tenant
        with parts.database.reading() as session:
            found = styles.find_all(session, tenant, request.recipe.styles)
            retried = find_retried(session, tenant, request.source)
            moment = now(session)
        return check_request(
            request, tenant, shelf=parts.shelf, storages=parts.storages, styles=found, retried=retried, moment=moment
        )

    def enqueue(self, request: JobRequest) -> Job:
        """Insert the job of a request and ring for a planner; or find the job that an equal request made before."""
        parts, tenant, key = self.parts, self.tenant, self.idempotency_key
        with parts.database.reading() as session:
            job = find_replay(session, tenant, request, key)
        replayed = job is not None
        if job is None:
            checked = self.check(request)
            with parts.database.transaction() as session:
                enqueued = enqueue(session, checked, tenant, settings=parts.settings, idempotency_key=key)
            job, replayed = enqueued.job, enqueued.replayed
        if not replayed:
            parts.doorbell.ring("plan", job.queue)
        self.response.headers["Location"] = job_path(job.id)
        if replayed:
            self.response.headers["Idempotency-Replayed"] = "true"
        with parts.database.reading() as session:
            return job_answer(self.response, job_status(session, tenant, job.id))


def enqueuer(
    parts: AppParts,
    tenant: CurrentTenant,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(pattern=IDEMPOTENCY_KEY, description="Makes it safe to send a request again: one key, one job."),
    ] = None,
) -> Enqueuer:
    return Enqueuer(parts=parts, tenant=tenant, idempotency_key=idempotency_key, response=response)


CurrentEnqueuer = Annotated[Enqueuer, Depends(enqueuer)]


def nothing_enqueued(found: Body) -> Job:
    """Answer 200 with what was found out instead of 202 with a job."""
    return JSONResponse(found.model_dump(mode="json"))  # type: ignore[return-value]  # another status and body
