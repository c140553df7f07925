"""The client against a real API."""

from __future__ import annotations

import subprocess
import sys
import uuid

import pytest

from jobs.moves import move
from jobs.states import ItemState, JobOutcome, JobState
from restyle import Client, RestyleError
from tests.factories import make_job, make_recipe, make_results
from tests.restyle.answers import answering
from tests.restyle.conftest import PNG, RunningApi

OTHER_PNG = PNG + b"\0"


def request(api: RunningApi, **recipe: object) -> dict[str, object]:
    return {
        "recipe": {"model": "plain"} | recipe,
        "source": {"type": "prefix", "url": f"file://{api.pictures}/"},
    }


def test_a_job_is_enqueued_and_found_again(running_api: RunningApi, client: Client) -> None:
    job = client.enqueue(request(running_api))

    assert job["state"] == "planning"
    assert client.job(job["id"])["id"] == job["id"]
    assert [found["id"] for found in client.jobs()] == [job["id"]]
    assert list(client.jobs(state="ended")) == []


def test_one_key_is_one_job_however_often_it_is_sent(running_api: RunningApi, client: Client) -> None:
    first = client.enqueue(request(running_api), "spring-2026")
    second = client.enqueue(request(running_api), "spring-2026")

    assert first["id"] == second["id"]


def test_two_jobs_without_a_key_are_two_jobs(running_api: RunningApi, client: Client) -> None:
    assert client.enqueue(request(running_api))["id"] != client.enqueue(request(running_api))["id"]


def test_a_refused_request_names_field_value_and_remedy(running_api: RunningApi, client: Client) -> None:
    with pytest.raises(RestyleError) as refusal:
        client.enqueue(request(running_api, parameters={"strength": 7}))

    error = refusal.value
    assert error.status == 422
    assert error.refused
    assert [(problem.field, problem.value) for problem in error.problems] == [("recipe.parameters.strength", 7)]
    assert str(error) == "recipe.parameters.strength is 7: give a number from 0 to 1"


def test_a_job_that_is_not_there_is_said_so(client: Client) -> None:
    for job_id in (str(uuid.uuid4()), "../styles"):
        with pytest.raises(RestyleError) as refusal:
            client.job(job_id)
        assert refusal.value.code == "not_found"


def test_items_come_page_by_page_and_can_be_filtered(running_api: RunningApi, client: Client) -> None:
    with running_api.database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING, items=250)
        make_results(session, job, range(200))
        make_results(session, job, [200, 201], ItemState.FAILED)
    job_id = str(job.id)

    assert [item["item_no"] for item in client.items(job_id)] == list(range(250))
    assert [item["item_no"] for item in client.items(job_id, state="failed")] == [200, 201]
    assert [item["item_no"] for item in client.items(job_id, error_code="truncated")] == [200, 201]
    assert sum(1 for _ in client.items(job_id, state="pending")) == 48


def test_jobs_come_page_by_page_the_newest_first(running_api: RunningApi, client: Client) -> None:
    with running_api.database.transaction() as session:
        made = [str(make_job(session).id) for _ in range(130)]

    assert [job["id"] for job in client.jobs()] == made[::-1]


def test_the_same_pictures_are_the_same_style_and_others_need_another_name(client: Client) -> None:
    first = client.create_style("autumn", {"a.png": PNG})
    assert client.create_style("autumn", {"b.png": PNG})["id"] == first["id"]

    with pytest.raises(RestyleError) as refusal:
        client.create_style("autumn", {"a.png": OTHER_PNG})

    assert refusal.value.code == "style_exists"
    assert [style["name"] for style in client.styles()] == ["autumn"]


def test_models_are_listed_with_their_parameters(client: Client) -> None:
    assert {model["name"] for model in client.models()} == {"reference-grade", "plain", "drawer"}
    assert "strength" in client.models()[0]["parameters"]


def test_a_job_is_paused_changed_and_resumed(running_api: RunningApi, client: Client) -> None:
    job_id = client.enqueue(request(running_api))["id"]

    assert client.pause(job_id)["state"] == "paused"
    assert client.change(job_id, {"priority": 9})["priority"] == 9
    assert client.resume(job_id)["state"] == "planning"
    assert [event["kind"] for event in client.events(job_id)] == [
        *("job.enqueued", "job.paused", "job.changed", "job.planning"),
    ]


def test_a_request_can_be_checked_alone(running_api: RunningApi, client: Client) -> None:
    assert client.validate(request(running_api))["recipe"]["parameters"] == {"strength": 1.0}
    assert list(client.jobs()) == []


def test_what_failed_is_counted_and_retried(running_api: RunningApi, client: Client) -> None:
    with running_api.database.transaction() as session:
        recipe = make_recipe(model="plain", style=None)
        columns = {"outcome": JobOutcome.PARTIAL, "output_url": f"file://{running_api.pictures}/out/"}
        job = make_job(session, state=JobState.ENDED, items=3, recipe=recipe, **columns)
        make_results(session, job, [0, 2])
        make_results(session, job, [1], ItemState.FAILED)

    assert client.count_retry(str(job.id)) == 1
    child = client.retry(str(job.id), {"recipe": {"parameters": {"strength": 0.5}}})
    assert (child["parent_job_id"], child["recipe"]["parameters"]) == (str(job.id), {"strength": 0.5})


def test_a_bulk_call_goes_on_until_every_job_was_changed(
    running_api: RunningApi, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.bulk.BATCH_JOBS", 2)
    with running_api.database.transaction() as session:
        for _ in range(5):
            make_job(session)
    asked = {"action": "pause", "filter": {}}

    assert client.count_bulk(asked) == 5
    assert client.bulk(asked) == 5
    assert client.bulk(asked) == 0


def test_waiting_asks_for_news_only() -> None:
    job = b'{"state": "running"}'
    ended = b'{"state": "ended", "outcome": "succeeded"}'
    answers = (200, {"ETag": '"1-0-0"'}, job), (304, {"ETag": '"1-0-0"'}, b""), (200, {"ETag": '"2-0-0"'}, ended)
    seen: list[str] = []
    with answering(*answers) as (url, heard), Client(url) as waiting:
        waiting.wait(str(uuid.uuid4()), on_progress=lambda found: seen.append(found["state"]))

    assert seen == ["running", "running", "ended"]
    assert [headers.get("If-None-Match") for _, headers in heard] == [None, '"1-0-0"', '"1-0-0"']
    assert heard[1][1]["Prefer"] == "wait=15", "half of what the client waits for an answer"


def test_cancelling_moves_a_job(running_api: RunningApi, client: Client) -> None:
    job = client.enqueue(request(running_api))

    assert client.cancel(job["id"])["state"] == "cancelling"


def test_waiting_returns_the_ended_job_and_tells_of_its_progress(running_api: RunningApi, client: Client) -> None:
    with running_api.database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING, items=2)
    seen: list[str] = []

    def end_it_when_seen(found: object) -> None:
        seen.append(client.job(str(job.id))["state"])
        with running_api.database.transaction() as session:
            move(session, job.id, JobState.FINISHING)
            move(session, job.id, JobState.ENDED, outcome=JobOutcome.PARTIAL)

    ended = client.wait(str(job.id), on_progress=end_it_when_seen)

    assert ended["outcome"] == "partial"
    assert seen == ["running", "ended"]


def test_waiting_gives_up_after_its_timeout(running_api: RunningApi, client: Client) -> None:
    job = client.enqueue(request(running_api))

    with pytest.raises(RestyleError) as gave_up:
        client.wait(job["id"], timeout=0)

    assert gave_up.value.code == "wait_timeout"


def test_waiting_outlives_a_restart_of_the_service() -> None:
    job = b'{"state": "ended", "outcome": "succeeded"}'
    broken = (500, {}, b"")
    with answering(broken, broken, (200, {}, job)) as (url, _), Client(url) as client:
        assert client.wait(str(uuid.uuid4()))["outcome"] == "succeeded"


def test_every_try_of_one_request_carries_the_same_key() -> None:
    busy = (503, {}, b"")
    with answering(busy, (202, {}, b'{"id": "x"}')) as (url, heard), Client(url) as client:
        client.enqueue({})

    assert len(heard) == 2
    assert len({headers["Idempotency-Key"] for _, headers in heard}) == 1, "otherwise there are two jobs"


def test_an_address_without_a_scheme_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="http://"):
        Client("localhost:8000")


def test_the_client_loads_none_of_the_heavy_parts() -> None:
    heavy = "torch", "fastapi", "starlette", "sqlalchemy", "celery", "jobs", "api", "worker", "numpy", "PIL"
    code = f"import sys, restyle, restyle.__main__; print([name for name in {heavy!r} if name in sys.modules])"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_the_key_of_the_environment_is_used_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTYLE_API_KEY", "rsk_environment")

    with answering((200, {}, b'{"data": []}')) as (url, heard):
        for given in (None, "rsk_given"):
            with Client(url, api_key=given) as client:
                client.models()
        sent = [headers["Authorization"] for _, headers in heard]
    assert sent == ["Bearer rsk_environment", "Bearer rsk_given"]
