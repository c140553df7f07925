"""Pause, resume, cancel, change and bulk controls over HTTP, on both databases."""

from __future__ import annotations

import datetime
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from jobs import bulk
from jobs.recipes import ManifestSource
from jobs.records import EventRecord, JobRecord
from jobs.states import CancelMode, JobState
from tests.factories import make_job

if TYPE_CHECKING:
    import httpx

    from jobs.database import Database

OPEN = [JobState.PLANNING, JobState.QUEUED, JobState.RUNNING]
STOPPED = [JobState.CANCELLING, JobState.FINISHING, JobState.ENDED]
TOMORROW = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
YESTERDAY = TOMORROW - datetime.timedelta(days=2)


def add_job(database: Database, **columns: Any) -> str:
    with database.transaction() as session:
        return str(make_job(session, **columns).id)


def events_of(database: Database, job_id: str) -> list[EventRecord]:
    with database.reading() as session:
        chosen = select(EventRecord).where(EventRecord.job_id == uuid.UUID(job_id)).order_by(EventRecord.id)
        return list(session.scalars(chosen))


@pytest.mark.parametrize("state", OPEN)
def test_an_open_job_can_be_paused_once_and_again(api: httpx.Client, database: Database, state: JobState) -> None:
    job_id = add_job(database, state=state, items=2)
    first = api.post(f"/v1/jobs/{job_id}/pause")
    again = api.post(f"/v1/jobs/{job_id}/pause")
    assert first.status_code == again.status_code == 200
    assert first.json()["state"] == "paused"
    assert first.json()["pause_reason"]["code"] == "requested"
    assert first.json()["paused_at"] is not None
    assert (again.json(), again.headers["ETag"]) == (first.json(), first.headers["ETag"])
    assert [(event.kind, event.actor) for event in events_of(database, job_id)] == [("job.paused", "tenant")]


@pytest.mark.parametrize(("planned", "state"), [(True, "queued"), (False, "planning")])
def test_a_paused_job_goes_on_from_where_it_was(
    api: httpx.Client, database: Database, planned: bool, state: str
) -> None:
    job_id = add_job(database, state=JobState.QUEUED if planned else JobState.PLANNING)
    api.post(f"/v1/jobs/{job_id}/pause")
    first = api.post(f"/v1/jobs/{job_id}/resume")
    again = api.post(f"/v1/jobs/{job_id}/resume")
    assert first.status_code == again.status_code == 200
    assert first.json()["state"] == again.json()["state"] == state
    assert first.json()["pause_reason"] is first.json()["paused_at"] is None
    assert first.headers["ETag"] == again.headers["ETag"]


def test_a_job_that_may_run_while_it_is_planned_does_so_after_a_pause_too(
    api: httpx.Client, database: Database
) -> None:
    columns = {"state": JobState.PAUSED, "items": 4, "planned_at": None}
    strict = ManifestSource(url="s3://shop/spring.csv").model_dump(mode="json")
    prefix, manifest = add_job(database, **columns), add_job(database, **columns, source=strict)
    confirmed_later = add_job(database, **columns, require_confirmation=True)
    states = [api.post(f"/v1/jobs/{job_id}/resume").json()["state"] for job_id in (prefix, manifest, confirmed_later)]
    assert states == ["queued", "planning", "planning"]
    assert api.get(f"/v1/jobs/{confirmed_later}").json()["require_confirmation"] is True


def test_resuming_confirms_a_job_that_waits_for_it(api: httpx.Client, database: Database) -> None:
    reason = {"code": "confirmation_required", "message": "2 items are ready"}
    job_id = add_job(database, state=JobState.PAUSED, items=2, require_confirmation=True, pause_reason=reason)
    assert api.get(f"/v1/jobs/{job_id}").json()["pause_reason"] == reason
    job = api.post(f"/v1/jobs/{job_id}/resume").json()
    assert (job["state"], job["require_confirmation"], job["pause_reason"]) == ("queued", False, None)


@pytest.mark.parametrize("state", STOPPED)
@pytest.mark.parametrize("control", ["pause", "resume"])
def test_a_job_that_is_stopped_says_why_it_cannot_be_controlled_and_what_to_do(
    api: httpx.Client, database: Database, state: JobState, control: str
) -> None:
    job_id = add_job(database, state=state)
    answer = api.post(f"/v1/jobs/{job_id}/{control}")
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert f"the job is {state.value}" in answer.json()["detail"]
    assert ": " in answer.json()["detail"]


def test_a_drain_can_be_asked_for_and_sharpened_but_not_the_other_way(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database, state=JobState.RUNNING, items=2)
    modes = []
    for mode in ("drain", "drain", "now", "drain"):
        answer = api.post(f"/v1/jobs/{job_id}/cancel", json={"mode": mode})
        assert answer.status_code == 202
        modes.append(answer.json()["cancel_mode"])
    assert modes == ["drain", "drain", "now", "now"]
    assert [event.kind for event in events_of(database, job_id)] == ["job.cancelling", "job.changed"]


def test_cancelling_without_a_body_is_now(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database, state=JobState.RUNNING)
    assert api.post(f"/v1/jobs/{job_id}/cancel").json()["cancel_mode"] == "now"


def test_a_change_is_seen_at_once_and_told_with_what_was_before(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database, state=JobState.RUNNING, priority=3)
    before = api.get(f"/v1/jobs/{job_id}")
    policy = {"action": "ignore", "max_failed_share": 0.1, "min_items": 5}
    asked = {
        "priority": 9,
        "max_workers": 4,
        "deadline_at": TOMORROW.isoformat(),
        "not_before_at": YESTERDAY.isoformat(),
        "failure_policy": policy,
    }
    answer = api.patch(f"/v1/jobs/{job_id}", json=asked)
    job = answer.json()
    assert answer.status_code == 200
    assert (job["priority"], job["max_workers"], job["failure_policy"]) == (9, 4, policy)
    assert datetime.datetime.fromisoformat(job["deadline_at"]) == TOMORROW
    assert job["version"] == before.json()["version"] + 1
    assert answer.headers["ETag"] != before.headers["ETag"]
    (event,) = events_of(database, job_id)
    assert (event.kind, event.actor) == ("job.changed", "tenant")
    assert set(event.data["before"]) == set(event.data["after"]) == set(asked)
    assert (event.data["before"]["priority"], event.data["after"]["priority"]) == (3, 9)
    assert event.data["before"]["deadline_at"] is None


def test_a_change_can_be_taken_back_with_null(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database, deadline_at=TOMORROW, max_workers=3)
    job = api.patch(f"/v1/jobs/{job_id}", json={"deadline_at": None, "max_workers": None}).json()
    assert job["deadline_at"] is job["max_workers"] is None


def test_a_change_to_what_is_there_already_changes_nothing(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database, priority=3)
    tag = api.get(f"/v1/jobs/{job_id}").headers["ETag"]
    for changes in ({"priority": 3}, {}, {"max_workers": None}):
        assert api.patch(f"/v1/jobs/{job_id}", json=changes).headers["ETag"] == tag
    assert events_of(database, job_id) == []


def test_a_change_of_a_job_that_moved_on_is_refused_to_who_named_its_version(
    api: httpx.Client, database: Database
) -> None:
    job_id = add_job(database, items=2)
    tag = api.get(f"/v1/jobs/{job_id}").headers["ETag"]
    first = api.patch(f"/v1/jobs/{job_id}", json={"priority": 1}, headers={"If-Match": tag})
    second = api.patch(f"/v1/jobs/{job_id}", json={"priority": 2}, headers={"If-Match": tag})
    either = api.patch(
        f"/v1/jobs/{job_id}", json={"priority": 3}, headers={"If-Match": f"{tag}, {first.headers['ETag']}"}
    )
    weak = api.patch(f"/v1/jobs/{job_id}", json={"priority": 4}, headers={"If-Match": f"W/{either.headers['ETag']}"})
    whatever = api.patch(f"/v1/jobs/{job_id}", json={"priority": 5}, headers={"If-Match": "*"})
    assert [each.status_code for each in (first, second, either, weak, whatever)] == [200, 412, 200, 412, 200]
    assert second.json()["code"] == "stale"
    assert api.get(f"/v1/jobs/{job_id}").json()["priority"] == 5


@pytest.mark.parametrize("control", ["pause", "resume", "cancel", "retry"])
def test_a_control_of_a_job_that_moved_on_is_refused_to_who_named_its_version(
    api: httpx.Client, database: Database, control: str
) -> None:
    job_id = add_job(database, items=2)
    tag = api.get(f"/v1/jobs/{job_id}").headers["ETag"]
    now = api.patch(f"/v1/jobs/{job_id}", json={"priority": 1}).headers["ETag"]
    stale = api.post(f"/v1/jobs/{job_id}/{control}", headers={"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale")
    assert api.get(f"/v1/jobs/{job_id}").headers["ETag"] == now
    good = api.post(f"/v1/jobs/{job_id}/{control}", headers={"If-Match": now})
    assert good.status_code == {"pause": 200, "resume": 200, "cancel": 202, "retry": 409}[control]


def test_counts_that_moved_on_do_not_stand_in_the_way_of_a_change(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database, items=2)
    version = api.get(f"/v1/jobs/{job_id}").json()["version"]
    answer = api.patch(f"/v1/jobs/{job_id}", json={"priority": 1}, headers={"If-Match": f'"{version}-77-99"'})
    assert answer.status_code == 200


def test_a_job_that_has_ended_cannot_be_changed(api: httpx.Client, database: Database) -> None:
    answer = api.patch(f"/v1/jobs/{add_job(database, state=JobState.ENDED)}", json={"priority": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert "retry" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"priority": 101}, "priority", "invalid_request"),
        ({"priority": None}, "priority", "invalid_request"),
        ({"max_workers": 0}, "max_workers", "invalid_request"),
        ({"state": "ended"}, "state", "invalid_request"),
        ({"deadline_at": "2020-01-01T00:00:00Z"}, "deadline_at", "deadline_passed"),
        ({"deadline_at": "2030-01-01T00:00:00"}, "deadline_at", "invalid_request"),
        ({"not_before_at": "2999-01-01T00:00:00Z"}, "not_before_at", "deadline_before_start"),
        ({"failure_policy": {"max_failed_share": 2}}, "failure_policy.max_failed_share", "invalid_request"),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_its_field(
    api: httpx.Client, database: Database, changes: dict[str, Any], field: str, code: str
) -> None:
    job_id = add_job(database, deadline_at=TOMORROW)
    before = api.get(f"/v1/jobs/{job_id}")
    answer = api.patch(f"/v1/jobs/{job_id}", json=changes)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"][0]["field"] == field
    assert api.get(f"/v1/jobs/{job_id}").headers["ETag"] == before.headers["ETag"]


def test_controls_of_another_tenants_job_find_nothing(api: httpx.Client, database: Database) -> None:
    foreign = add_job(database, tenant_id="other", items=1)
    for answer in (
        api.post(f"/v1/jobs/{foreign}/pause"),
        api.post(f"/v1/jobs/{foreign}/resume"),
        api.post(f"/v1/jobs/{foreign}/cancel", json={"mode": "drain"}),
        api.patch(f"/v1/jobs/{foreign}", json={"priority": 1}),
        api.post(f"/v1/jobs/{foreign}/retry"),
        api.get(f"/v1/jobs/{foreign}/events"),
        api.get(f"/v1/jobs/{foreign}/events", headers={"Accept": "application/json"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    report = api.post("/v1/jobs/bulk", json={"action": "cancel", "filter": {}}).json()
    assert report == {"matched": 0, "changed": 0, "more": False}
    with database.reading() as session:
        assert session.scalars(select(JobRecord.version)).one() == 1


def test_one_call_controls_every_job_that_fits(api: httpx.Client, database: Database) -> None:
    low, high = add_job(database, priority=-5), add_job(database, priority=5)
    running = add_job(database, state=JobState.RUNNING, priority=-5)
    ended = add_job(database, state=JobState.ENDED, priority=-5)
    asked = {"action": "pause", "filter": {"priority_below": 0}}
    dry = api.post("/v1/jobs/bulk", json=asked | {"dry_run": True}).json()
    assert dry == {"matched": 2, "changed": 0, "more": True}
    assert api.post("/v1/jobs/bulk", json=asked).json() == {"matched": 2, "changed": 2, "more": False}
    assert api.post("/v1/jobs/bulk", json=asked).json() == {"matched": 0, "changed": 0, "more": False}
    states = [api.get(f"/v1/jobs/{job_id}").json()["state"] for job_id in (low, high, running, ended)]
    assert states == ["paused", "queued", "paused", "ended"]
    assert [event.kind for event in events_of(database, low)] == ["job.paused"]
    assert api.post("/v1/jobs/bulk", json={"action": "resume", "filter": {}}).json()["changed"] == 2
    cancelled = api.post("/v1/jobs/bulk", json={"action": "cancel", "filter": {"states": ["queued"]}, "mode": "drain"})
    assert cancelled.json()["changed"] == 3
    assert api.get(f"/v1/jobs/{high}").json()["cancel_mode"] == "drain"


def test_jobs_can_be_chosen_by_when_they_were_enqueued(api: httpx.Client, database: Database) -> None:
    add_job(database, created_at=YESTERDAY)
    add_job(database)

    def matched(**wanted: str) -> int:
        asked = {"action": "cancel", "filter": wanted, "dry_run": True}
        return int(api.post("/v1/jobs/bulk", json=asked).json()["matched"])

    middle = (TOMORROW - datetime.timedelta(days=1, hours=1)).isoformat()
    assert matched(created_before=middle) == matched(created_after=middle) == 1
    assert matched(created_after=TOMORROW.isoformat()) == 0
    assert matched(created_after=YESTERDAY.isoformat()) == 2


def test_a_bulk_call_does_a_bounded_number_and_says_that_there_is_more(
    api: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH_JOBS", 2)
    oldest, *_ = [add_job(database) for _ in range(5)]
    reports = [api.post("/v1/jobs/bulk", json={"action": "cancel", "filter": {}}).json() for _ in range(4)]
    assert [(report["matched"], report["changed"], report["more"]) for report in reports] == [
        (5, 2, True),
        (3, 2, True),
        (1, 1, False),
        (0, 0, False),
    ]
    with database.reading() as session:
        modes = session.scalars(select(JobRecord.cancel_mode)).all()
    assert set(modes) == {CancelMode.NOW}
    assert events_of(database, oldest)
