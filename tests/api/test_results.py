"""Results over HTTP, on both databases."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import TYPE_CHECKING

from jobs.database import Database
from jobs.states import ItemState, JobState
from tests.factories import make_job, make_results

if TYPE_CHECKING:
    import httpx


def add_job(database: Database, state: JobState = JobState.RUNNING) -> str:
    """A job of five shards, of which the fourth has not ended."""
    with database.transaction() as session:
        job = make_job(session, state=state, items=10, shard_size=2)
        make_results(session, job, [0, 1, 2, 4, 5, 8, 9])
        make_results(session, job, [3], ItemState.FAILED)
    return str(job.id)


def test_the_parts_that_are_there_are_listed_while_the_job_runs(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database)
    first = api.get(f"/v1/jobs/{job_id}/results", params={"limit": 2}).json()
    assert [part["no"] for part in first["parts"]] == [0, 1]
    assert (first["complete"], first["next_after_part"]) == (False, 1)
    last = api.get(f"/v1/jobs/{job_id}/results", params={"after_part": 1, "limit": 10}).json()
    assert [part["no"] for part in last["parts"]] == [2, 4]
    assert (last["complete"], last["next_after_part"]) == (False, None)
    assert [(part["first_item_no"], part["item_count"]) for part in last["parts"]] == [(4, 2), (8, 2)]


def test_a_part_is_read_with_its_digest_and_never_changes(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database)
    part = api.get(f"/v1/jobs/{job_id}/results").json()["parts"][1]
    answer = api.get(part["url"])
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["ETag"] == f'"{part["sha256"]}"'
    assert "immutable" in answer.headers["Cache-Control"]
    digest = hashlib.sha256(answer.content)
    assert digest.hexdigest() == part["sha256"]
    assert answer.headers["Content-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert len(answer.content) == part["bytes"]
    good, bad = map(json.loads, answer.text.splitlines())
    assert (good["item"], good["state"], bad["item"], bad["error_code"]) == (2, "succeeded", 3, "truncated")
    again = api.get(part["url"], headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])


def test_a_part_that_is_not_there_yet_is_not_found(api: httpx.Client, database: Database) -> None:
    job_id = add_job(database)
    for no in (3, 5):
        answer = api.get(f"/v1/jobs/{job_id}/results/{no}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_errors_are_read_while_the_job_runs(api: httpx.Client, database: Database) -> None:
    answer = api.get(f"/v1/jobs/{add_job(database)}/errors")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    [line] = map(json.loads, answer.text.splitlines())
    assert (line["item"], line["key"]) == (3, "s3://shop/catalogue/shoes/000003.jpg")


def test_a_job_without_errors_has_an_empty_stream(api: httpx.Client, database: Database) -> None:
    with database.transaction() as session:
        job = make_job(session, state=JobState.ENDED, items=2)
    answer = api.get(f"/v1/jobs/{job.id}/errors")
    assert (answer.status_code, answer.content) == (200, b"")


def test_results_of_another_tenant_are_as_good_as_absent(api: httpx.Client, database: Database) -> None:
    with database.transaction() as session:
        foreign = make_job(session, state=JobState.ENDED, items=2, tenant_id="other")
    for job_id in (foreign.id, uuid.uuid4()):
        for path in ("results", "results/0", "errors"):
            answer = api.get(f"/v1/jobs/{job_id}/{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
