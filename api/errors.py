"""From an exception to problem details (RFC 9457). The only place that gives errors HTTP statuses."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from api.faults import faults_of, shown
from api.schemas.problems import Fault, ProblemDetails
from jobs.errors import Busy, Conflict, InvalidRequest, JobsError, NotFound, Stale, StorageError, Unauthorized

log = structlog.get_logger(__name__)

STATUSES: dict[type[JobsError], int] = {
    InvalidRequest: 422,
    Unauthorized: 401,
    NotFound: 404,
    Conflict: 409,
    Stale: 412,
    Busy: 503,
    StorageError: 503,
    JobsError: 500,
}
HTTP_CODES = {400: "malformed_body", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
CHALLENGE = {"WWW-Authenticate": "Bearer"}
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
MAX_DETAIL_LENGTH = 2_000


def install(app: FastAPI) -> None:
    """Answer every foreseen error of an app with problem details; `api.middleware` sees to the others."""
    app.add_exception_handler(JobsError, _answer_jobs_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    for error in (OperationalError, InterfaceError, PoolTimeoutError):
        app.add_exception_handler(error, _answer_database_error)


def problem(
    path: str,
    status: int,
    *,
    code: str,
    detail: str,
    errors: Sequence[Fault] = (),
    retryable: bool = False,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return problem details as a response."""
    body = ProblemDetails(
        type=f"urn:restyle:problem:{code}",
        title=http.HTTPStatus(status).phrase,
        status=status,
        detail=_printable(detail),
        instance=_printable(path),
        code=code,
        errors=list(errors),
        retryable=retryable,
    )
    wait = {"Retry-After": str(RETRY_AFTER_SECONDS)} if retryable else {}
    return JSONResponse(
        body.model_dump(mode="json"), status_code=status, headers=wait | dict(headers or {}), media_type=MEDIA_TYPE
    )


def _answer_jobs_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, JobsError)
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request_failed", code=str(error.code), error=str(error))
    problems = error.problems if isinstance(error, InvalidRequest) else ()
    return problem(
        request.url.path,
        status,
        code=str(error.code),
        detail=str(error),
        errors=[Fault(field=_printable(each.field), value=shown(each.value), remedy=each.remedy) for each in problems],
        retryable=error.retryable,
        headers=CHALLENGE if status == http.HTTPStatus.UNAUTHORIZED else None,
    )


def _answer_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if any(each["type"] == "json_invalid" for each in error.errors()):
        [first, *_] = error.errors()
        detail = f"the body is not JSON: {first['ctx']['error']}, at character {first['loc'][-1]}"
        return problem(request.url.path, 400, code=HTTP_CODES[400], detail=detail)
    faults = faults_of(error.errors(), error.body)
    detail = "; ".join(f"{fault.field} is {json.dumps(fault.value)}: {fault.remedy}" for fault in faults)
    return problem(request.url.path, 422, code=InvalidRequest.code, detail=detail, errors=faults)


def _answer_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request)
    code = HTTP_CODES.get(error.status_code, "http_error")
    return problem(request.url.path, error.status_code, code=code, detail=_detail(request, error), headers=headers)


def _allowed(request: Request) -> str:
    """Return every method of the path: the framework names those of one endpoint only."""
    operations = request.app.openapi()["paths"].get(request.scope["route"].path, {})
    return ", ".join(sorted(method.upper() for method in operations))


def _detail(request: Request, error: HTTPException) -> str:
    if error.status_code == http.HTTPStatus.NOT_FOUND:
        return f"there is nothing at {request.url.path}"
    if error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.method} is not allowed at {request.url.path}"
    return str(error.detail)


def _answer_database_error(request: Request, error: Exception) -> JSONResponse:
    log.error("database_unavailable", error=str(error))
    detail = "the database did not answer; try again"
    return problem(request.url.path, 503, code="database_unavailable", detail=detail, retryable=True)


def internal_error(path: str) -> JSONResponse:
    """Return the answer to an error that nobody foresaw. It says nothing of the inside."""
    detail = "something went wrong here; the log has it under the X-Request-Id of this answer"
    return problem(path, 500, code="internal_error", detail=detail)


def _printable(text: Any) -> str:
    """Return text that can be sent: not too long, and no half characters."""
    return str(text)[:MAX_DETAIL_LENGTH].encode("utf-8", "replace").decode()
