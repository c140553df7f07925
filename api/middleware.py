"""Around every request: an id, a bound on its body, one line in the log, and an answer even to a bug."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import internal_error, problem
from jobs.styles import MAX_REFERENCE_BYTES, MAX_REFERENCES

log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
PROBES = {"/healthz", "/readyz"}

MAX_BODY_BYTES = 1_000_000
MAX_UPLOAD_BYTES = MAX_REFERENCES * MAX_REFERENCE_BYTES + MAX_BODY_BYTES  # with room for the form around the files
UPLOADS = {"/v1/styles"}


class RequestLog:
    """Gives each request an id, logs one line when it is answered, and answers 500 to what nobody foresaw."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            start = time.perf_counter()
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:
                log.exception("request_crashed")
                if status:
                    raise  # too late for another answer: let the server cut the connection
                await internal_error(scope["path"])(scope, receive, send_with_id)
            finally:
                _log_answer(scope, status, time.perf_counter() - start)


def _log_answer(scope: Scope, status: int, seconds: float) -> None:
    write = log.debug if scope["path"] in PROBES else log.info
    # The template, not the path: the lines of one endpoint count as one, and no names of customers get in.
    path = getattr(scope.get("route"), "path", None)
    write("request_answered", method=scope["method"], path=path, status=status, seconds=round(seconds, 4))


class BodyLimit:
    """Refuses a body that is too large: at once when it says so itself, otherwise as soon as it has become so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_UPLOAD_BYTES if scope["path"] in UPLOADS else MAX_BODY_BYTES
        detail = f"the body has more than the {limit} bytes allowed here"
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            await problem(scope["path"], 413, code="body_too_large", detail=detail)(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, detail)
            return message

        await self._app(scope, receive_within_limit, send)
