"""Retrying what failed, and checking a request without enqueueing it, over HTTP, on both databases."""

from __future__ import annotations

import datetime
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from jobs.records import JobRecord
from jobs.states import ItemState, JobOutcome, JobState
from tests.api.conftest import files_below
from tests.factories import make_job, make_recipe, make_results

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from jobs.database import Database

PLAIN = make_recipe(model="identity", style=None)


def add_parent(database: Database, folder: Path, **columns: Any) -> str:
    """An ended job of which two of six items failed."""
    with database.transaction() as session:
        job = make_job(
            session,
            **{"state": JobState.ENDED, "items": 6, "outcome": JobOutcome.PARTIAL, "recipe": PLAIN}
            | {"output_url": f"file://{folder}/out/"}
            | columns,
        )
        if job.state is JobState.ENDED:
            make_results(session, job, range(4))
            make_results(session, job, [4], ItemState.FAILED)
            make_results(session, job, [5], ItemState.FAILED, error_code="out_of_memory")
        return str(job.id)


def job_count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(JobRecord)) or 0


def test_what_failed_becomes_a_job_of_its_own(api: httpx.Client, database: Database, storage_folder: Path) -> None:
    parent = add_parent(database, storage_folder, priority=4)
    answer = api.post(f"/v1/jobs/{parent}/retry")
    child = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{child['id']}"
    assert (child["parent_job_id"], child["state"], child["priority"]) == (parent, "planning", 4)
    assert child["source"] == {
        "type": "job",
        "job_id": parent,
        "states": ["failed", "rejected", "cancelled"],
        "error_codes": None,
    }
    assert child["output_url"] == f"file://{storage_folder}/out/"
    assert api.get(f"/v1/jobs/{parent}").json()["counts"]["failed"] == 2, "the first job stays as it is"


def test_a_dry_run_counts_and_leaves_nothing_behind(
    api: httpx.Client, database: Database, storage_folder: Path
) -> None:
    parent = add_parent(database, storage_folder)
    for asked, matched in (({}, 2), ({"error_codes": ["out_of_memory"]}, 1), ({"states": ["succeeded"]}, 4)):
        answer = api.post(f"/v1/jobs/{parent}/retry", json=asked | {"dry_run": True})
        assert (answer.status_code, answer.json()) == (200, {"matched": matched})
    assert job_count(database) == 1


def test_the_recipe_of_a_retry_can_differ(api: httpx.Client, database: Database, storage_folder: Path) -> None:
    parent = add_parent(database, storage_folder)
    child = api.post(f"/v1/jobs/{parent}/retry", json={"recipe": {"parameters": {"strength": 0.5}}}).json()
    assert child["recipe"]["parameters"] == {"strength": 0.5}
    further = api.post(f"/v1/jobs/{parent}/retry", json={"recipe": {"then": [{"model": "still"}]}}).json()
    assert further["recipe"]["then"] == [{"model": "still", "style": None, "parameters": {"glow": 0}, "on": "all"}]
    wrong = api.post(f"/v1/jobs/{parent}/retry", json={"recipe": {"parameters": {"strength": 7}}})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "recipe.parameters.strength")
    format_too = api.post(f"/v1/jobs/{parent}/retry", json={"recipe": {"format": "webp"}})
    assert (format_too.status_code, format_too.json()["errors"][0]["field"]) == (422, "recipe.format")


def test_a_retry_that_is_sent_twice_under_one_key_is_one_job(
    api: httpx.Client, database: Database, storage_folder: Path
) -> None:
    parent = add_parent(database, storage_folder)
    headers = {"Idempotency-Key": "again-1"}
    first, second = (api.post(f"/v1/jobs/{parent}/retry", headers=headers) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert job_count(database) == 2


def test_a_job_as_a_source_is_a_request_like_any_other(
    api: httpx.Client, database: Database, storage_folder: Path
) -> None:
    parent = add_parent(database, storage_folder)
    asked = {"recipe": {"model": "identity"}, "source": {"type": "job", "job_id": parent, "states": ["failed"]}}
    assert api.post("/v1/jobs", json=asked | {"validate_only": True}).json()["matched"] == 2
    child = api.post("/v1/jobs", json=asked).json()
    assert (child["parent_job_id"], child["output_url"]) == (parent, f"file://{storage_folder}/out/")


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"source": {"job_id": str(uuid.uuid4())}}, "source.job_id", "unknown_job"),
        ({"source": {"states": ["cancelled"]}}, "source.states", "nothing_to_retry"),
        ({"source": {"states": []}}, "source.states", "invalid_request"),
        ({"source": {"states": ["pending"]}}, "source.states.0", "invalid_request"),
        ({"recipe": {"model": "identity", "format": "webp"}}, "recipe.format", "format_differs"),
        ({"output_url": "file:///STORAGE/elsewhere/"}, "output_url", "output_differs"),
    ],
)
def test_a_retry_that_cannot_be_is_refused_with_its_field(
    api: httpx.Client, database: Database, storage_folder: Path, changes: dict[str, Any], field: str, code: str
) -> None:
    source = {"type": "job", "job_id": add_parent(database, storage_folder)}
    asked = {"recipe": {"model": "identity"}} | changes | {"source": source | changes.get("source", {})}
    if "output_url" in asked:
        asked["output_url"] = asked["output_url"].replace("/STORAGE", str(storage_folder))
    answer = api.post("/v1/jobs", json=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"][0]["field"] == field
    assert job_count(database) == 1


def test_a_job_that_has_not_ended_cannot_be_retried_yet(
    api: httpx.Client, database: Database, storage_folder: Path
) -> None:
    parent = add_parent(database, storage_folder, state=JobState.RUNNING, outcome=None)
    answer = api.post(f"/v1/jobs/{parent}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert "running" in answer.json()["detail"]


def test_a_job_without_anything_to_retry_says_so(api: httpx.Client, database: Database, storage_folder: Path) -> None:
    parent = add_parent(database, storage_folder)
    answer = api.post(f"/v1/jobs/{parent}/retry", json={"states": ["rejected"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "nothing_to_retry")


def test_a_request_can_be_checked_without_being_enqueued(
    api: httpx.Client, database: Database, job_request: dict[str, Any], storage_folder: Path
) -> None:
    before = files_below(storage_folder)
    headers = {"Idempotency-Key": "spring-1"}
    answer = api.post("/v1/jobs", json=job_request | {"validate_only": True, "priority": 3}, headers=headers)
    preview = answer.json()
    assert answer.status_code == 200
    assert "Location" not in answer.headers
    assert (preview["valid"], preview["priority"], preview["output_url"]) == (True, 3, None)
    assert preview["recipe"]["parameters"] == {"strength": 1.0}
    assert preview["source"] == job_request["source"]
    assert (job_count(database), files_below(storage_folder)) == (0, before)
    assert api.post("/v1/jobs", json=job_request | {"priority": 3}, headers=headers).status_code == 202
    refused = api.post("/v1/jobs", json=job_request | {"validate_only": True, "priority": 999})
    assert refused.status_code == 422


@pytest.mark.parametrize(
    ("times", "field", "code"),
    [
        ({"deadline_at": -60}, "deadline_at", "deadline_passed"),
        ({"deadline_at": 60, "not_before_at": 120}, "not_before_at", "deadline_before_start"),
        ({"deadline_at": 60, "not_before_at": 60}, "not_before_at", "deadline_before_start"),
    ],
)
def test_times_that_leave_no_room_to_run_are_refused(
    api: httpx.Client, database: Database, job_request: dict[str, Any], times: dict[str, int], field: str, code: str
) -> None:
    moment = datetime.datetime.now(datetime.UTC)
    given = {name: (moment + datetime.timedelta(minutes=minutes)).isoformat() for name, minutes in times.items()}
    answer = api.post("/v1/jobs", json=job_request | given)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    (fault,) = answer.json()["errors"]
    assert (fault["field"], fault["value"]) == (field, given[field])
    assert job_count(database) == 0


def test_times_with_room_to_run_are_taken(api: httpx.Client, job_request: dict[str, Any]) -> None:
    moment = datetime.datetime.now(datetime.UTC)
    given = {"not_before_at": moment, "deadline_at": moment + datetime.timedelta(hours=1)}
    job = api.post("/v1/jobs", json=job_request | {name: at.isoformat() for name, at in given.items()}).json()
    assert {name: datetime.datetime.fromisoformat(job[name]) for name in given} == given
