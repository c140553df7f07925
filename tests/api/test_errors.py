"""Every error is problem details, whatever went wrong and wherever."""

from __future__ import annotations

import contextlib
import http.client
import json
import uuid
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import SecretStr

from api.app import create_app
from jobs.states import JobState
from tests.api.conftest import serving
from tests.factories import make_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from structlog.types import Processor

    from api.settings import ApiSettings
    from jobs.cards import CardShelf
    from jobs.database import Database

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "errors", "retryable"}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(body) == MEMBERS
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:restyle:problem:{code}")
    assert answer.headers["X-Request-Id"]
    assert bool(body["errors"]) == (status == 422), "fields are named where a field is wrong, and only there"
    assert body["detail"]
    return body


def test_what_no_field_is_to_blame_for_names_none_and_says_so_in_words(api: httpx.Client, database: Database) -> None:
    with database.transaction() as session:
        job_id = make_job(session, state=JobState.RUNNING).id
    headers = {"Content-Type": "application/json"}
    assert_problem(api.post("/v1/jobs", content=b"{", headers=headers), 400, "malformed_body")
    assert_problem(api.get(f"/v1/jobs/{uuid.uuid4()}"), 404, "not_found")
    assert_problem(api.post(f"/v1/jobs/{job_id}/retry"), 409, "wrong_state")
    stale = api.patch(f"/v1/jobs/{job_id}", json={"priority": 1}, headers={"If-Match": '"99-0-0"'})
    assert_problem(stale, 412, "stale")
    assert_problem(api.get("/v1/jobs/7"), 422, "invalid_request")


def test_an_unknown_path_is_a_problem(api: httpx.Client) -> None:
    assert assert_problem(api.get("/v1/nope"), 404, "not_found")["instance"] == "/v1/nope"


def test_a_method_that_a_path_does_not_have_is_a_problem_that_names_those_it_has(api: httpx.Client) -> None:
    answer = api.delete("/v1/jobs")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST"


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(api: httpx.Client) -> None:
    with contextlib.closing(http.client.HTTPConnection(api.base_url.host, api.base_url.port or 80, timeout=10)) as raw:
        raw.putrequest("POST", "/v1/jobs")
        raw.putheader("Content-Type", "application/json")
        raw.putheader("Content-Length", "2000000")
        raw.endheaders()
        answer = raw.getresponse()
        assert (answer.status, json.load(answer)["code"]) == (413, "body_too_large")


def test_a_body_that_becomes_too_large_is_refused_on_the_way(api: httpx.Client) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 50_000

    answer = api.post("/v1/jobs", content=body(), headers={"Content-Type": "application/json"})
    assert_problem(answer, 413, "body_too_large")


def test_a_bug_is_answered_without_its_secrets_and_logged_under_the_same_request(
    settings: ApiSettings, shelf: CardShelf
) -> None:
    app = create_app(settings, shelf=shelf)

    @app.get("/bug")
    def _bug() -> None:
        raise RuntimeError("a secret")

    processors: list[Processor] = [structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info]
    with structlog.testing.capture_logs(processors) as lines, serving(app) as api:
        answer = api.get("/bug", headers={"X-Request-Id": "my-request"})
    assert_problem(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert answer.headers["X-Request-Id"] == "my-request"
    # By their request: the line of another test's last request can still come, since it is written after its answer.
    crashed, answered = (line for line in lines if line.get("request_id") == "my-request")
    assert crashed["event"] == "request_crashed"
    assert "RuntimeError: a secret" in crashed["exception"]
    assert (answered["event"], answered["status"], answered["path"]) == ("request_answered", 500, "/bug")


def test_a_request_id_of_the_callers_comes_back_unless_it_is_unsafe(api: httpx.Client) -> None:
    assert api.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    assert len(api.get("/healthz", headers={"X-Request-Id": "a b\tc"}).headers["X-Request-Id"]) == 32


def test_a_database_that_does_not_answer_is_worth_another_try(settings: ApiSettings, shelf: CardShelf) -> None:
    nowhere = settings.model_copy(
        update={"database_url": SecretStr("postgresql+psycopg://app@/none?host=/nonexistent")}
    )
    with serving(create_app(nowhere, shelf=shelf)) as api:
        answer = api.get("/v1/jobs")
        ready = api.get("/readyz")
        alive = api.get("/healthz")
    assert assert_problem(answer, 503, "database_unavailable")["retryable"] is True
    assert "Retry-After" in answer.headers
    assert ready.status_code == 503
    assert ready.json()["checks"]["database"]["ok"] is False
    assert alive.json() == {"alive": True}
