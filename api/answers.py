"""What the routes declare in OpenAPI beside their own answers, and the headers of an answer that is a job."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from api.schemas.jobs import Job
from api.schemas.problems import ProblemDetails
from api.tags import quoted
from jobs.queries import JobStatus
from jobs.states import JobState

Declared = dict[int | str, dict[str, Any]]

POLL_SECONDS = 2  # how long a caller should wait before it asks for a job again

DESCRIPTIONS = {
    400: "The body cannot be read.",
    404: "There is no such thing.",
    409: "The name belongs to something else, or the state of the thing does not allow this.",
    412: "The job has changed since the caller looked at it.",
    413: "The body is too large.",
    422: "The request cannot be done as it stands; `errors` names each field, its value and the remedy.",
    500: "Something went wrong here.",
    503: "The database or storage does not answer, or too many wait here; try again after Retry-After.",
}

RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait before asking again.", "schema": {"type": "integer"}},
}
TAGGED = {
    "ETag": {"description": "`<version>-<settled>-<found>`, in quotes.", "schema": {"type": "string"}},
    "Preference-Applied": {"description": "The wait that was granted.", "schema": {"type": "string"}},
}
JOB_HEADERS = RETRY_AFTER | {"ETag": TAGGED["ETag"]}
LOCATION = {"Location": {"description": "Path of the job, style or webhook.", "schema": {"type": "string"}}}
REPLAYED = {
    "Idempotency-Replayed": {
        "description": "`true` where the job had been made before, by an equal request with this key.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


def problems(*statuses: int) -> Declared:
    """Declare the problems that an endpoint may answer with. Any may fail with 500."""
    return {
        status: {"model": ProblemDetails, "description": DESCRIPTIONS[status]}
        | ({"headers": RETRY_AFTER} if status == 503 else {})
        for status in (*statuses, 500)
    }


def job_answer(response: Response, status: JobStatus) -> Job:
    """Return a job as a body; its tag, and when to look again, go into the headers."""
    response.headers["ETag"] = quoted(status.tag)
    if status.job.state is not JobState.ENDED:
        response.headers["Retry-After"] = str(POLL_SECONDS)
    return Job.of(status)
