"""Looking at a job until it changes: tags, long-poll, server-sent events; on both databases."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import update

from api import watching
from api.app import create_app
from api.routes import job_events
from jobs.moves import move
from jobs.records import JobRecord
from jobs.states import JobOutcome, JobState
from tests.api.conftest import serving
from tests.factories import make_job, make_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.settings import ApiSettings
    from jobs.cards import CardShelf
    from jobs.database import Database

POOL_THREADS = 40  # of the server, for everything that is not async
JSON = {"Accept": "application/json"}


def add_job(database: Database, **columns: Any) -> str:
    with database.transaction() as session:
        return str(make_job(session, **columns).id)


def settle(database: Database, job_id: str, numbers: range) -> None:
    with database.transaction() as session:
        make_results(session, session.get_one(JobRecord, uuid.UUID(job_id)), numbers)


def test_a_tag_says_that_nothing_has_changed(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database, state=JobState.RUNNING, items=4)
    first = api.get(f"/v1/jobs/{job_id}")
    same = api.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["ETag"] == first.headers["ETag"]
    assert int(same.headers["Retry-After"]) > 0
    other = f'"0-0-0", W/{first.headers["ETag"]}'
    assert api.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": other}).status_code == 304
    assert api.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": '"0-0-0"'}).status_code == 200


def test_whatever_changes_a_job_changes_its_tag(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database, state=JobState.RUNNING, items=4, planned_at=None)
    tags = [api.get(f"/v1/jobs/{job_id}").headers["ETag"]]

    def seen() -> None:
        tags.append(api.get(f"/v1/jobs/{job_id}").headers["ETag"])

    def set_columns(**columns: Any) -> None:
        with database.transaction() as session:
            session.execute(update(JobRecord).where(JobRecord.id == uuid.UUID(job_id)).values(columns))
        seen()

    settle(database, job_id, range(2))
    seen()
    set_columns(planned_item_count=5)
    set_columns(bad_row_count=1)
    set_columns(passed_over_count=1)
    set_columns(rescued_count=1)
    set_columns(planned_at=JobRecord.created_at)
    for call in (
        lambda: api.patch(f"/v1/jobs/{job_id}", json={"priority": 7}),
        lambda: api.post(f"/v1/jobs/{job_id}/pause"),
        lambda: api.post(f"/v1/jobs/{job_id}/resume"),
        lambda: api.post(f"/v1/jobs/{job_id}/cancel"),
    ):
        answer = call()
        seen()
        assert answer.headers["ETag"] == tags[-1]
    assert len(set(tags)) == len(tags) == 11


def test_a_caller_who_waits_is_answered_when_the_job_changes(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database, state=JobState.RUNNING, items=4)
    tag = api.get(f"/v1/jobs/{job_id}").headers["ETag"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            api.get, f"/v1/jobs/{job_id}", headers={"If-None-Match": tag, "Prefer": "respond-async, wait=25"}
        )
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)  # nothing has happened yet
        settle(database, job_id, range(1))
        answer = waiting.result(timeout=20)
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=25")
    assert answer.json()["counts"]["succeeded"] == 1


def test_a_wait_ends_when_nothing_happens(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database)
    tag = api.get(f"/v1/jobs/{job_id}").headers["ETag"]
    answer = api.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag, "Prefer": "wait=1"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (304, "wait=1")


def test_nobody_waits_for_a_job_that_has_ended_or_without_a_tag(api: httpx.Client, database: Database) -> None:
    ended, opened = add_job(database, state=JobState.ENDED), add_job(database)
    tag = api.get(f"/v1/jobs/{ended}").headers["ETag"]
    start = time.monotonic()
    assert api.get(f"/v1/jobs/{ended}", headers={"If-None-Match": tag, "Prefer": "wait=30"}).status_code == 304
    assert api.get(f"/v1/jobs/{opened}", headers={"Prefer": "wait=30"}).status_code == 200
    assert time.monotonic() - start < 20


def test_those_who_wait_hold_no_thread(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database)
    tag = api.get(f"/v1/jobs/{job_id}").headers["ETag"]
    waiters = POOL_THREADS + 10

    def wait(_: int) -> httpx.Response:
        return httpx.get(
            f"{api.base_url}/v1/jobs/{job_id}", headers={"If-None-Match": tag, "Prefer": "wait=30"}, timeout=60
        )

    with ThreadPoolExecutor(waiters) as pool:
        waiting = [pool.submit(wait, number) for number in range(waiters)]
        assert httpx.get(f"{api.base_url}/healthz", timeout=20).status_code == 200
        assert not any(each.done() for each in waiting)
        api.post(f"/v1/jobs/{job_id}/pause")
        assert {each.result().status_code for each in waiting} == {200}


def test_a_caller_who_finds_no_place_to_wait_is_answered_at_once(
    settings: ApiSettings, shelf: CardShelf, database: Database, clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching.Watchers.__init__, "__defaults__", (0,))
    job_id = add_job(database)
    with serving(create_app(settings, shelf=shelf)) as api:
        tag = api.get(f"/v1/jobs/{job_id}").headers["ETag"]
        answer = api.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag, "Prefer": "wait=30"})
    assert answer.status_code == 304
    assert "Preference-Applied" not in answer.headers


class Stream:
    """Server-sent events as a browser reads them."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def __iter__(self) -> Iterator[dict[str, str]]:
        event: dict[str, str] = {}
        for line in self._lines:
            if not line and event:
                yield event
                event = {}
            elif line:
                name, _, value = line.partition(": ")
                event[name or "comment"] = value

    def next(self, kind: str) -> dict[str, str]:
        return next(event for event in self if event.get("event") == kind)


@contextlib.contextmanager
def streaming(api: httpx.Client, job_id: str, **headers: str) -> Iterator[Stream]:
    with httpx.stream("GET", f"{api.base_url}/v1/jobs/{job_id}/events", headers=headers, timeout=30) as response:
        yield Stream(response)


def test_a_stream_tells_what_happens_and_ends_with_the_job(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database, state=JobState.RUNNING, items=2)
    with streaming(api, job_id) as stream:
        assert stream.response.headers["Content-Type"].startswith("text/event-stream")
        first = stream.next("progress")
        assert "id" not in first
        assert json.loads(first["data"])["counts"]["pending"] == 2
        api.post(f"/v1/jobs/{job_id}/pause")
        paused = stream.next("job.paused")
        assert json.loads(paused["data"])["data"]["reason"]["code"] == "requested"
        assert int(paused["id"]) == json.loads(paused["data"])["id"]
        with database.transaction() as session:
            move(session, uuid.UUID(job_id), JobState.FINISHING)
        with database.transaction() as session:
            move(session, uuid.UUID(job_id), JobState.ENDED, outcome=JobOutcome.FAILED)
        rest = [event["event"] for event in stream if "event" in event]
    assert rest[-1] == "job.ended"
    assert [kind for kind in rest if kind != "progress"] == ["job.finishing", "job.ended"]


def test_a_stream_goes_on_behind_the_last_event_that_was_received(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database, state=JobState.QUEUED)
    for control in ("pause", "resume", "pause"):
        api.post(f"/v1/jobs/{job_id}/{control}")
    with streaming(api, job_id) as stream:
        seen = stream.next("job.paused")
    with streaming(api, job_id, **{"Last-Event-ID": seen["id"]}) as stream:
        events = iter(stream)
        kinds = [event.get("event") for event in (next(events) for _ in range(4))]
    assert [kind for kind in kinds if kind not in (None, "progress")] == ["job.queued", "job.paused"]


def test_a_stream_of_an_ended_job_tells_everything_and_ends(
    api: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_events, "EVENTS", 2)
    job_id = add_job(database, state=JobState.QUEUED)
    for control in ("pause", "resume", "pause", "resume", "cancel"):
        api.post(f"/v1/jobs/{job_id}/{control}")
    with database.transaction() as session:
        move(session, uuid.UUID(job_id), JobState.FINISHING)
        move(session, uuid.UUID(job_id), JobState.ENDED, outcome=JobOutcome.CANCELLED)
    with streaming(api, job_id) as stream:
        kinds = [event["event"] for event in stream if "event" in event]
    assert [kind for kind in kinds if kind != "progress"] == [
        *("job.paused", "job.queued") * 2,
        *("job.cancelling", "job.finishing", "job.ended"),
    ]
    assert kinds.count("progress") == 1


def test_a_quiet_stream_shows_that_it_lives(
    api: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_events, "QUIET_SECONDS", 0.0)
    job_id = add_job(database)
    with streaming(api, job_id) as stream:
        assert any("comment" in event for event in stream)


def test_a_process_serves_a_bounded_number_of_streams_and_gives_places_back(
    settings: ApiSettings, shelf: CardShelf, database: Database, clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching.Watchers.__init__, "__defaults__", (2,))
    job_id = add_job(database)
    with serving(create_app(settings, shelf=shelf)) as api:
        path = f"/v1/jobs/{job_id}/events"
        with streaming(api, job_id) as first, streaming(api, job_id) as second:
            first.next("progress")
            second.next("progress")
            refused = api.get(path)
            assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
            assert int(refused.headers["Retry-After"]) > 0
            assert api.get(path, headers=JSON).status_code == 200, "a page needs no place"
        until = time.monotonic() + 30
        while time.monotonic() < until:  # the server notices that a reader has gone when it next writes or reads
            with streaming(api, job_id) as again:
                if again.response.status_code == 200:
                    break
            threading.Event().wait(0.1)
        else:
            pytest.fail("no place was given back")


def test_the_audit_trail_comes_in_pages(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database)
    for control in ("pause", "resume", "pause"):
        api.post(f"/v1/jobs/{job_id}/{control}")
    first = api.get(f"/v1/jobs/{job_id}/events", params={"limit": 2}, headers=JSON).json()
    second = api.get(f"/v1/jobs/{job_id}/events", params={"after": first["next_after"]}, headers=JSON).json()
    events = first["data"] + second["data"]
    assert second["next_after"] is None
    assert [event["kind"] for event in events] == ["job.paused", "job.queued", "job.paused"]
    assert {event["job_id"] for event in events} == {job_id}
    assert [event["id"] for event in events] == sorted({event["id"] for event in events})
