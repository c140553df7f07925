"""Jobs over HTTP, on both databases."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import func, select, update

from api.app import create_app
from jobs.database import Database, append
from jobs.records import ItemRecord, JobRecord, ShardRecord
from jobs.states import ItemState, JobOutcome, JobState, ShardState
from tests.api.conftest import serving
from tests.factories import item_row, make_job, make_results, make_shard

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from api.settings import ApiSettings
    from jobs.cards import CardShelf
    from tests.servers import Broker

STATES = ("pending", "succeeded", "reused", "rejected", "failed", "cancelled")


def job_count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(JobRecord)) or 0


def add_job(database: Database, **columns: Any) -> str:
    with database.transaction() as session:
        return str(make_job(session, **columns).id)


def test_a_request_becomes_a_job_that_can_be_looked_at(
    api: httpx.Client, job_request: dict[str, Any], settings: ApiSettings
) -> None:
    answer = api.post("/v1/jobs", json=job_request | {"priority": 5})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert int(answer.headers["Retry-After"]) > 0
    assert api.get(answer.headers["Location"]).json() == job
    assert uuid.UUID(job["id"]).version == 7
    assert (job["state"], job["outcome"], job["planned"], job["priority"]) == ("planning", None, False, 5)
    assert job["recipe"]["parameters"] == {"strength": 1.0}
    assert job["output_url"] == f"{settings.storage_url}/results/{job['id']}/"
    assert job["counts"]["total"] == 0
    assert job["files"] is job["error"] is job["progress"]["fraction"] is None


def test_an_accepted_request_rings_for_a_planner(
    settings: ApiSettings, shelf: CardShelf, job_request: dict[str, Any], broker_server: Broker
) -> None:
    queue = f"q-{uuid.uuid4().hex}"
    heard = settings.model_copy(update={"broker_url": SecretStr(broker_server.url), "queue": queue})
    with (
        serving(create_app(heard, shelf=shelf)) as api,
        redis.Redis(unix_socket_path=str(broker_server.socket_path)) as broker,
    ):
        api.post("/v1/jobs", json=job_request)
        assert broker.llen(queue) == 1
        api.post("/v1/jobs", json=job_request | {"priority": 999})
        assert broker.llen(queue) == 1


def test_an_equal_request_with_the_same_key_gets_the_same_job(
    api: httpx.Client, job_request: dict[str, Any], database: Database, storage_folder: Path
) -> None:
    first = api.post("/v1/jobs", json=job_request, headers={"Idempotency-Key": "spring-1"})
    for path in (storage_folder / "catalogue" / "shoes").iterdir():
        path.unlink()  # a request that would be refused by now
    again = api.post("/v1/jobs", json=job_request, headers={"Idempotency-Key": "spring-1"})
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert job_count(database) == 1


def test_a_job_past_its_retention_is_gone_and_its_key_is_free(
    api: httpx.Client, job_request: dict[str, Any], database: Database
) -> None:
    key = {"Idempotency-Key": "spring-1"}
    first = api.post("/v1/jobs", json=job_request | {"retention": {"days": 1}}, headers=key).json()
    with database.transaction() as session:
        job = session.get_one(JobRecord, uuid.UUID(first["id"]))
        job.state, job.outcome, job.ended_at = JobState.ENDED, JobOutcome.SUCCEEDED, job.created_at
        job.expires_at = job.created_at
    assert api.get(f"/v1/jobs/{first['id']}").status_code == 404
    assert api.get("/v1/jobs").json()["data"] == []
    second = api.post("/v1/jobs", json=job_request, headers=key)
    assert (second.status_code, "Idempotency-Replayed" in second.headers) == (202, False)
    assert second.json()["id"] != first["id"]


def test_another_request_with_the_same_key_is_refused(
    api: httpx.Client, job_request: dict[str, Any], database: Database
) -> None:
    api.post("/v1/jobs", json=job_request, headers={"Idempotency-Key": "spring-1"})
    other = api.post("/v1/jobs", json=job_request | {"priority": 1}, headers={"Idempotency-Key": "spring-1"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert other.json()["errors"][0]["field"] == "header.Idempotency-Key"
    assert job_count(database) == 1


def test_equal_requests_that_race_under_one_key_make_one_job(
    api: httpx.Client, job_request: dict[str, Any], database: Database
) -> None:
    racers = 8
    start = threading.Barrier(racers)

    def post(_: int) -> httpx.Response:
        start.wait()
        return api.post("/v1/jobs", json=job_request, headers={"Idempotency-Key": "spring-1"})

    with ThreadPoolExecutor(racers) as pool:
        answers = list(pool.map(post, range(racers)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert job_count(database) == 1


def test_a_request_without_a_key_is_a_new_job_each_time(api: httpx.Client, job_request: dict[str, Any]) -> None:
    ids = {api.post("/v1/jobs", json=job_request).json()["id"] for _ in range(2)}
    assert len(ids) == 2


def test_jobs_are_listed_newest_first_in_pages(api: httpx.Client, database: Database) -> None:
    ids = [add_job(database) for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = api.get("/v1/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["data"]) <= 2
        seen += [job["id"] for job in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_jobs_can_be_listed_by_state(api: httpx.Client, database: Database) -> None:
    add_job(database, state=JobState.QUEUED)
    running = add_job(database, state=JobState.RUNNING)
    page = api.get("/v1/jobs", params={"state": "running"}).json()
    assert [job["id"] for job in page["data"]] == [running]


def test_a_job_of_another_tenant_is_as_good_as_absent(api: httpx.Client, database: Database) -> None:
    foreign = add_job(database, tenant_id="other", items=1)
    absent = uuid.uuid4()
    for job_id in (foreign, absent):
        for answer in (
            api.get(f"/v1/jobs/{job_id}"),
            api.get(f"/v1/jobs/{job_id}/items"),
            api.post(f"/v1/jobs/{job_id}/cancel"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert api.get("/v1/jobs").json()["data"] == []
    with database.reading() as session:
        assert session.scalars(select(JobRecord.state)).one() is JobState.QUEUED


def test_the_counts_of_a_running_job_add_up_and_give_a_rate_and_an_end(api: httpx.Client, database: Database) -> None:
    with database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING, items=600)
        make_results(session, job, range(300))
        make_results(session, job, [400, 599], ItemState.FAILED)
        make_results(session, job, [500], ItemState.REJECTED)
        make_results(session, job, [501], ItemState.REUSED)
    body = api.get(f"/v1/jobs/{job.id}").json()
    assert body["counts"] == {
        "total": 600,
        "pending": 296,
        "succeeded": 300,
        "reused": 1,
        "rejected": 1,
        "failed": 2,
        "cancelled": 0,
        "bad_rows": 0,
        "passed_over": 0,
    }
    progress = body["progress"]
    assert progress["fraction"] == pytest.approx(304 / 600)
    assert progress["seconds_left"] == pytest.approx(296 / progress["items_per_second"])
    assert progress["eta_at"] > body["started_at"]
    assert (body["planned"], body["files"]) == (True, None)


def test_the_counts_add_up_at_every_moment_while_items_are_planned_and_settled(
    api: httpx.Client, database: Database
) -> None:
    with database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING, planned_at=None)
    done = threading.Event()

    def plan_and_settle() -> None:
        for chunk in range(40):
            items = range(chunk * 5, chunk * 5 + 5)
            with database.transaction() as session:
                append(session, ItemRecord, [item_row(job, item_no) for item_no in items])
                counts = {"state": ShardState.ENDED, "succeeded_count": 4, "failed_count": 1}
                make_shard(session, job, chunk, items.start, items.stop, **counts)
                session.execute(
                    update(JobRecord)
                    .where(JobRecord.id == job.id)
                    .values(planned_item_count=JobRecord.planned_item_count + 5)
                )
        done.set()

    writer = threading.Thread(target=plan_and_settle)
    writer.start()
    before, ended = 0, False
    while not ended:
        ended = done.is_set()
        counts = api.get(f"/v1/jobs/{job.id}").json()["counts"]
        assert counts["pending"] == 0
        assert sum(counts[state] for state in STATES) == counts["total"]
        assert counts["succeeded"] >= before
        before = counts["succeeded"]
    writer.join()
    assert before == 160


def test_an_ended_job_says_where_its_files_are_and_asks_for_no_further_look(
    api: httpx.Client, database: Database
) -> None:
    job_id = add_job(database, state=JobState.ENDED, items=3, output_url="s3://shop/out/")
    answer = api.get(f"/v1/jobs/{job_id}")
    job = answer.json()
    assert "Retry-After" not in answer.headers
    assert (job["state"], job["outcome"], job["progress"]["fraction"]) == ("ended", "succeeded", 1.0)
    assert job["files"] == {
        "manifest": f"s3://shop/out/_restyle/{job_id}/manifest.jsonl",
        "errors": f"s3://shop/out/_restyle/{job_id}/errors.jsonl",
        "engines": f"s3://shop/out/_restyle/{job_id}/engines.json",
        "contact_sheet_html": f"s3://shop/out/_restyle/{job_id}/contact-sheet.html",
        "contact_sheet_png": f"s3://shop/out/_restyle/{job_id}/contact-sheet.png",
    }


def test_the_error_of_a_failed_job_is_shown_with_all_its_facts(api: httpx.Client, database: Database) -> None:
    error = {"code": "bad_manifest", "message": "2 rows are bad", "rows": [{"row_no": 4711, "code": "key_missing"}]}
    job_id = add_job(database, state=JobState.ENDED, outcome=JobOutcome.FAILED, error=error, bad_row_count=2)
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert (job["outcome"], job["error"], job["counts"]["bad_rows"]) == ("failed", error, 2)


def test_items_are_listed_in_order_in_pages_with_what_became_of_them(api: httpx.Client, database: Database) -> None:
    with database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING, items=5, output_url="s3://shop/out/")
        make_results(
            session,
            job,
            [0],
            device_seconds=0.004,
            cost=1.5e-5,
            engine="0123456789abcdef",
            measures={"structure": 0.97},
        )
        make_results(session, job, [1], ItemState.FAILED)
        make_results(session, job, [4], ItemState.REJECTED, error_code="gate_broken")
    first = api.get(f"/v1/jobs/{job.id}/items", params={"limit": 3}).json()
    second = api.get(f"/v1/jobs/{job.id}/items", params={"limit": 3, "after": first["next_after"]}).json()
    items = first["data"] + second["data"]
    assert second["next_after"] is None
    assert [item["item_no"] for item in items] == [0, 1, 2, 3, 4]
    assert [item["state"] for item in items] == ["succeeded", "failed", "pending", "pending", "rejected"]
    assert items[4]["output_url"] == f"s3://shop/out/_restyle/{job.id}/rejected/shoes/000004.jpg"
    good, bad, pending = items[:3]
    assert good["output_url"] == "s3://shop/out/shoes/000000.jpg"
    assert (good["width"], good["height"], good["milliseconds"]["model"], good["attempt"]) == (64, 48, 4.0, 1)
    assert (good["device_seconds"], good["cost"], good["engine"]) == (0.004, 1.5e-5, "0123456789abcdef")
    assert (good["measures"], bad["measures"]) == ({"structure": 0.97}, None)
    assert bad["device_seconds"] is bad["cost"] is bad["engine"] is pending["engine"] is None
    assert bad["error"] == {"code": "truncated", "message": "the file ends before its pixels do"}
    assert bad["output_url"] is pending["output_url"] is pending["settled_at"] is pending["error"] is None


def test_items_can_be_listed_by_state_and_error_code(api: httpx.Client, database: Database) -> None:
    with database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING, items=10, shard_size=4)
        make_results(session, job, [0, 1, 2, 3, 4])
        make_results(session, job, [5, 9], ItemState.FAILED)
        make_results(session, job, [6], ItemState.FAILED, error_code="not_an_image")
        make_results(session, job, [7], ItemState.REJECTED)

    def numbers(**params: Any) -> list[int]:
        page = api.get(f"/v1/jobs/{job.id}/items", params=params).json()
        return [item["item_no"] for item in page["data"]]

    assert numbers(state="failed") == [5, 6, 9]
    assert numbers(state="failed", after=5, limit=1) == [6]
    assert numbers(state="pending") == [8]
    assert numbers(state="pending", after=8) == []
    assert numbers(state="succeeded", after=1, limit=2) == [2, 3]
    assert numbers(error_code="truncated") == [5, 7, 9]
    assert numbers(error_code="truncated", state="failed") == [5, 9]
    assert numbers(error_code="truncated", state="succeeded") == []


@pytest.mark.parametrize("state", [JobState.PLANNING, JobState.QUEUED, JobState.RUNNING, JobState.PAUSED])
def test_an_open_job_can_be_cancelled_once_and_again(api: httpx.Client, database: Database, state: JobState) -> None:
    job_id = add_job(database, state=state, items=2)
    first = api.post(f"/v1/jobs/{job_id}/cancel")
    again = api.post(f"/v1/jobs/{job_id}/cancel")
    assert first.status_code == again.status_code == 202
    assert first.json()["state"] == "cancelling"
    assert first.json()["cancelling_at"] == again.json()["cancelling_at"] is not None
    assert api.get(f"/v1/jobs/{job_id}").json() == again.json()


@pytest.mark.parametrize("state", [JobState.FINISHING, JobState.ENDED])
def test_cancelling_comes_too_late_for_a_job_that_has_settled_everything(
    api: httpx.Client, database: Database, state: JobState
) -> None:
    job_id = add_job(database, state=state)
    before = api.get(f"/v1/jobs/{job_id}").json()
    answer = api.post(f"/v1/jobs/{job_id}/cancel")
    assert answer.status_code == 200
    assert answer.json() | {"progress": None} == before | {"progress": None}


def test_a_large_page_of_jobs_counts_each_of_them_right(api: httpx.Client, database: Database) -> None:
    with database.transaction() as session:
        for number in range(3):
            job = make_job(session, state=JobState.RUNNING, items=4, shard_size=2)
            make_results(session, job, range(number))
        assert session.scalar(select(func.count()).select_from(ShardRecord)) == 6
    page = api.get("/v1/jobs").json()
    assert [job["counts"]["succeeded"] for job in page["data"]] == [2, 1, 0]
    assert {job["counts"]["total"] for job in page["data"]} == {4}
