"""What became of a job's items, as lines: in parts, and of those that did not succeed. Also while the job runs."""

from __future__ import annotations

import base64
import uuid
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import StreamingResponse

from api.answers import problems
from api.parts import AppParts, CurrentTenant
from api.schemas.items import ResultPart, ResultPartPage
from api.schemas.measures import MeasureDistributions
from jobs.distributions import job_distributions
from jobs.parts import error_lines, part_page, read_part

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])

MAX_PARTS = 50  # a page: the digest of each may have to be worked out
MAX_NO = 2**31 - 1
FOR_EVER = "private, max-age=31536000, immutable"


class LineResponse(Response):
    media_type = "application/x-ndjson"


class LineStream(StreamingResponse):
    media_type = "application/x-ndjson"


@router.get("/results", responses=problems(404, 422, 503))
def list_result_parts(
    parts: AppParts,
    tenant: CurrentTenant,
    job_id: uuid.UUID,
    after_part: Annotated[
        int | None, Query(ge=0, le=MAX_NO, description="`next_after_part` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PARTS)] = MAX_PARTS,
) -> ResultPartPage:
    """List the parts of a job's results that are there already.

    Parts are numbered 0, 1, 2 … without gaps, but come in any order while the job runs. To follow it, ask again behind
    the last number up to which you have them all, until every page of such a round says `complete`.
    """
    page = part_page(parts.database, tenant, job_id, after=after_part, limit=limit)
    return ResultPartPage(
        complete=page.complete,
        parts=[ResultPart.of(job_id, part) for part in page.parts],
        next_after_part=page.parts[-1].no if page.more else None,
    )


@router.get(
    "/results/{no}",
    response_class=LineResponse,
    responses={
        200: {"description": "JSONL, a line per item, as in the job's manifest."},
        304: {"description": "The part of this ETag is the one that you have."},
        **problems(404, 422, 503),
    },
)
def get_result_part(
    parts: AppParts,
    tenant: CurrentTenant,
    job_id: uuid.UUID,
    no: Annotated[int, Path(ge=0, le=MAX_NO)],
    if_none_match: Annotated[str | None, Header(description="ETag of the part that you have.")] = None,
) -> Response:
    """Read a part of a job's results. It never changes: its ETag is the sha256 of its bytes."""
    part, body = read_part(parts.database, tenant, job_id, no)
    etag = f'"{part.sha256}"'
    headers = {"ETag": etag, "Cache-Control": FOR_EVER}
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers=headers)
    digest = base64.b64encode(bytes.fromhex(part.sha256)).decode()
    return LineResponse(body, headers=headers | {"Content-Digest": f"sha-256=:{digest}:"})


@router.get("/measures", responses=problems(404, 422, 503))
def show_measures(parts: AppParts, tenant: CurrentTenant, job_id: uuid.UUID) -> MeasureDistributions:
    """Show how each measure is spread over the items that have settled, also while the job runs."""
    with parts.database.reading() as session:
        return MeasureDistributions.of(job_distributions(session, tenant, job_id))


@router.get(
    "/errors",
    response_class=LineStream,
    responses={200: {"description": "JSONL, as in the job's errors file."}, **problems(404, 422, 503)},
)
def stream_errors(parts: AppParts, tenant: CurrentTenant, job_id: uuid.UUID) -> Response:
    """Read what has not succeeded so far, a line per item: itself a manifest for the next job."""
    return LineStream(error_lines(parts.database, tenant, job_id))
