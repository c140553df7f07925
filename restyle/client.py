"""The HTTP client: what the `restyle` command and scripts use to reach the API.

It loads neither torch, nor the web framework, nor the database: it can be installed anywhere.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self

from restyle.errors import RestyleError
from restyle.shapes import Item, Job, MeasureDistribution, Model, ResultPart, Style
from restyle.transport import Transport

DEFAULT_URL = "http://127.0.0.1:8000"
PAGE = 100  # entries asked for at a time; the most that the API gives everywhere
PARTS_PAGE = 50
LINES = "application/x-ndjson"
FIRST_POLL_SECONDS = 0.2
LONGEST_POLL_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 20.0  # of one request, for news of a job
PATIENCE_SECONDS = 120.0
NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A job as it was last seen, and the tag that tells whether it is another by now."""

    job: Job
    tag: str | None


class Client:
    """One service of Restyle.

    Every call retries, for a bounded time, what a restart or a busy service causes, and raises `RestyleError`
    otherwise. Safe to share between threads.

        with Client("http://127.0.0.1:8000") as client:
            job = client.enqueue({"recipe": {"model": "reference-grade", "style": "autumn"},
                                  "source": {"type": "prefix", "url": "s3://shop/catalogue/"}})
            job = client.wait(job["id"])
    """

    def __init__(self, base_url: str = DEFAULT_URL, *, api_key: str | None = None, timeout: float = 30.0) -> None:
        """Connect to nothing yet.

        Args:
            base_url: address of the API.
            api_key: what a service with tenants asks for; the variable RESTYLE_API_KEY, if there is one, by default.
            timeout: seconds for each part of one request: to connect, to send, to receive.

        """
        self._transport = Transport(base_url, timeout, api_key=api_key or os.environ.get("RESTYLE_API_KEY"))
        self._longest_wait = min(LONGEST_WAIT_SECONDS, timeout / 2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def enqueue(self, request: Mapping[str, Any], idempotency_key: str | None = None) -> Job:
        """Enqueue a job and return it.

        Args:
            request: recipe, source, output_url and priority, as POST /v1/jobs takes them.
            idempotency_key: the same key with the same request is the same job, however often it is sent. One is
                made up if none is given, so that a retry after a lost answer never enqueues a second job.

        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        job: Job = self._transport.send("POST", "/v1/jobs", json=dict(request), headers=headers).json()
        return job

    def job(self, job_id: str) -> Job:
        """Return a job as it is now."""
        job: Job = self._transport.send("GET", f"/v1/jobs/{_segment(job_id)}").json()
        return job

    def jobs(self, *, state: str | None = None) -> Iterator[Job]:
        """Yield jobs, the newest first, page by page as they are asked for."""
        return self._pages("/v1/jobs", {"state": state}, "cursor", "next_cursor")

    def items(self, job_id: str, *, state: str | None = None, error_code: str | None = None) -> Iterator[Item]:
        """Yield a job's items in their order, page by page as they are asked for."""
        filters = {"state": state, "error_code": error_code}
        return self._pages(f"/v1/jobs/{_segment(job_id)}/items", filters, "after", "next_after")

    def measures(self, job_id: str) -> list[MeasureDistribution]:
        """Return how each measure is spread over the items that have settled so far."""
        answer = self._transport.send("GET", f"/v1/jobs/{_segment(job_id)}/measures").json()
        found: list[MeasureDistribution] = answer["data"]
        return found

    def pause(self, job_id: str) -> Job:
        """Let nothing more of a job start. Return the job as it is now."""
        return self._control(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on, or confirm one that waits for that. Return the job as it is now."""
        return self._control(job_id, "resume")

    def cancel(self, job_id: str, *, mode: str = "now") -> Job:
        """Stop a job: what is pending is cancelled. Return the job as it is now.

        Args:
            job_id: the job.
            mode: `now`: nothing that runs is recorded any more; `drain`: what workers hold is finished first.

        """
        return self._control(job_id, "cancel", {"mode": mode})

    def change(self, job_id: str, changes: Mapping[str, Any]) -> Job:
        """Change priority, max_workers, not_before_at, deadline_at or failure_policy of a job that has not ended."""
        job: Job = self._transport.send("PATCH", f"/v1/jobs/{_segment(job_id)}", json=dict(changes)).json()
        return job

    def result_parts(self, job_id: str) -> Iterator[ResultPart]:
        """Yield the parts of a job's results that are there now, by their numbers, page by page."""
        given: dict[str, Any] = {"limit": PARTS_PAGE}
        while True:
            page = self._transport.send("GET", f"/v1/jobs/{_segment(job_id)}/results", params=given).json()
            yield from page["parts"]
            if page["next_after_part"] is None:
                return
            given["after_part"] = page["next_after_part"]

    def read_part(self, job_id: str, part: ResultPart) -> bytes:
        """Return the lines of a part, checked against its digest.

        Raises:
            RestyleError: code `digest_mismatch`: other bytes arrived than the service says it has.

        """
        path = f"/v1/jobs/{_segment(job_id)}/results/{part['no']}"
        body = self._transport.send("GET", path, headers={"Accept": LINES}).content
        if hashlib.sha256(body).hexdigest() != part["sha256"]:
            raise RestyleError(f"part {part['no']} of job {job_id} was changed on its way", code="digest_mismatch")
        return body

    def save_results(self, job_id: str, file: IO[bytes]) -> tuple[int, bool]:
        """Write a job's results to a file, a JSON line per item, in order.

        Return how many items, and whether these are all: a job that runs has results of what has settled so far.

        """
        job = self.job(job_id)  # before the parts: when it has ended, they are all there
        parts = sorted(self.result_parts(job_id), key=lambda part: part["first_item_no"])
        for part in parts:
            file.write(self.read_part(job_id, part))
        return sum(part["item_count"] for part in parts), job["state"] in ("finishing", "ended")

    def errors(self, job_id: str) -> Iterator[bytes]:
        """Yield what has not succeeded of a job so far, as JSON lines in chunks of bytes: a manifest for the next job.

        A connection that breaks in the middle raises, and is not taken for the end.
        """
        return self._transport.stream(f"/v1/jobs/{_segment(job_id)}/errors", headers={"Accept": LINES})

    def retry(self, job_id: str, request: Mapping[str, Any] | None = None, idempotency_key: str | None = None) -> Job:
        """Try items of an ended job again, and return the new job.

        Args:
            job_id: the job that has ended.
            request: states, error_codes and recipe, as POST /v1/jobs/{id}/retry takes them.
            idempotency_key: as for `enqueue`.

        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._control(job_id, "retry", dict(request or {}), headers=headers)

    def count_retry(self, job_id: str, request: Mapping[str, Any] | None = None) -> int:
        """Return how many items such a `retry` would try again."""
        asked = dict(request or {}) | {"dry_run": True}
        return int(self._transport.send("POST", f"/v1/jobs/{_segment(job_id)}/retry", json=asked).json()["matched"])

    def bulk(self, request: Mapping[str, Any]) -> int:
        """Pause, resume or cancel every job that fits a filter. Return how many were changed.

        Args:
            request: action, filter and mode, as POST /v1/jobs/bulk takes them.

        """
        changed, more = 0, True
        while more:
            report = self._transport.send("POST", "/v1/jobs/bulk", json=dict(request)).json()
            changed += report["changed"]
            more = report["more"] and report["changed"] > 0
        return changed

    def count_bulk(self, request: Mapping[str, Any]) -> int:
        """Return how many jobs such a `bulk` would change."""
        asked = dict(request) | {"dry_run": True}
        return int(self._transport.send("POST", "/v1/jobs/bulk", json=asked).json()["matched"])

    def validate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Check a request for a job, and return what it would enqueue. Nothing is."""
        preview: dict[str, Any] = self._transport.send(
            "POST", "/v1/jobs", json=dict(request) | {"validate_only": True}
        ).json()
        return preview

    def events(self, job_id: str) -> Iterator[dict[str, Any]]:
        """Yield what happened to a job, the oldest first, page by page as it is asked for."""
        return self._pages(f"/v1/jobs/{_segment(job_id)}/events", {}, "after", "next_after")

    def create_style(self, name: str, pictures: Mapping[str, bytes]) -> Style:
        """Upload a style's reference pictures, file name to bytes. The same upload again changes nothing.

        Raises:
            RestyleError: code `style_exists` when the name stands for other pictures.

        """
        files = [("references", (file_name, content)) for file_name, content in pictures.items()]
        style: Style = self._transport.send("POST", "/v1/styles", data={"name": name}, files=files).json()
        return style

    def mix_styles(self, name: str, shares: Mapping[str, float]) -> Style:
        """Make a style of others, by how much each counts. The same mix again changes nothing.

        Raises:
            RestyleError: code `style_exists` when the name stands for other pictures or another mix.

        """
        parts = [{"style": style, "weight": weight} for style, weight in shares.items()]
        mixed: Style = self._transport.send("POST", "/v1/styles/mixes", json={"name": name, "styles": parts}).json()
        return mixed

    def styles(self) -> Iterator[Style]:
        """Yield styles by name, page by page as they are asked for."""
        return self._pages("/v1/styles", {}, "cursor", "next_cursor")

    def models(self) -> list[Model]:
        """Return every model's card."""
        models: list[Model] = self._transport.send("GET", "/v1/models").json()["data"]
        return models

    def wait(
        self,
        job_id: str,
        *,
        on_progress: Callable[[Job], None] | None = None,
        timeout: float | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> Job:
        """Return the job once it has ended.

        Args:
            job_id: the job.
            on_progress: called with the job each time it was asked for, at most once a second in a long job.
            timeout: seconds after which to raise `RestyleError` with code `wait_timeout`; the job goes on.
            patience: seconds for which an API that does not answer, being deployed for example, is outlived.

        """
        deadline = None if timeout is None else time.monotonic() + timeout
        heard_at = time.monotonic()
        pause = FIRST_POLL_SECONDS
        seen: _Seen | None = None
        while True:
            left = LONGEST_WAIT_SECONDS if deadline is None else deadline - time.monotonic()
            try:
                seen = self._look(job_id, seen, left)
            except RestyleError as error:
                if error.refused or time.monotonic() - heard_at >= patience:
                    raise
            else:
                heard_at, job = time.monotonic(), seen.job
                if on_progress is not None:
                    on_progress(job)
                if job["state"] == "ended":
                    return job
            if deadline is not None and time.monotonic() + pause > deadline:
                raise RestyleError(f"job {job_id} had not ended after {timeout:g} s", code="wait_timeout")
            time.sleep(pause)
            pause = min(LONGEST_POLL_SECONDS, pause * 1.25)

    def _look(self, job_id: str, seen: _Seen | None, seconds: float) -> _Seen:
        """Return a job once it is another than was seen, or as it is after so many seconds."""
        headers = {}
        if seen is not None and seen.tag is not None:
            headers["If-None-Match"] = seen.tag
            headers["Prefer"] = f"wait={max(0, int(min(seconds, self._longest_wait)))}"
        response = self._transport.send("GET", f"/v1/jobs/{_segment(job_id)}", headers=headers)
        if seen is not None and response.status_code == NOT_MODIFIED:
            return seen
        return _Seen(job=response.json(), tag=response.headers.get("ETag"))

    def _control(
        self, job_id: str, control: str, body: dict[str, Any] | None = None, *, headers: dict[str, str] | None = None
    ) -> Job:
        path = f"/v1/jobs/{_segment(job_id)}/{control}"
        job: Job = self._transport.send("POST", path, json=body, headers=headers).json()
        return job

    def _pages(self, path: str, filters: Mapping[str, str | None], cursor: str, next_cursor: str) -> Iterator[Any]:
        given: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
        given["limit"] = PAGE
        while True:
            page = self._transport.send("GET", path, params=given).json()
            yield from page["data"]
            if page[next_cursor] is None:
                return
            given[cursor] = page[next_cursor]


def _segment(job_id: str) -> str:
    """Return an id that is safe as one segment of a path: an id with a slash must not reach another resource."""
    try:
        return str(uuid.UUID(job_id))
    except ValueError:
        raise RestyleError(f"{job_id!r} is not a job's id", code="not_found", status=404) from None
