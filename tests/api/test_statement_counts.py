"""Every endpoint costs a fixed number of SQL statements, however much there is; on both databases."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, update
from sqlalchemy.engine import Engine

from jobs import events
from jobs.database import now
from jobs.records import ShardRecord, WebhookDeliveryRecord
from jobs.states import DeliveryState, ItemState, JobOutcome, JobState
from jobs.tallies import Tally, count_in
from tests import pictures
from tests.factories import make_job, make_recipe, make_results, make_style, make_webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from jobs.database import Database

JSON = {"Accept": "application/json"}
WHO = 2  # to find out which tenant asks, at most


class QueryRecorder:
    """The SQL statements that other threads than the test's own execute: those of the served API."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self.statements: list[str] = []

    def __call__(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() != self._thread and not statement.startswith(
            ("BEGIN", "PRAGMA", "SAVEPOINT", "RELEASE")
        ):
            self.statements.append(statement)

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[str]]:
        self.statements = []
        event.listen(Engine, "before_cursor_execute", self)
        try:
            yield self.statements
        finally:
            event.remove(Engine, "before_cursor_execute", self)


@pytest.fixture
def recorder() -> QueryRecorder:
    return QueryRecorder()


def cost(recorder: QueryRecorder, call: Callable[[], httpx.Response], status: int = 200) -> int:
    with recorder.recording() as statements:
        answer = call()
    assert answer.status_code == status, answer.text
    return len(statements)


def add_jobs(database: Database, count: int, **columns: Any) -> list[str]:
    with database.transaction() as session:
        made = []
        for _ in range(count):
            job = make_job(session, state=JobState.RUNNING, items=40, shard_size=4, **columns)
            make_results(session, job, range(20))
            make_results(session, job, range(20, 30), ItemState.FAILED)
            made.append(str(job.id))
        return made


def test_listing_jobs_costs_the_same_for_one_and_for_a_hundred(
    api: httpx.Client, database: Database, recorder: QueryRecorder
) -> None:
    add_jobs(database, 1)
    one = cost(recorder, lambda: api.get("/v1/jobs", params={"limit": 100}))
    add_jobs(database, 99)
    assert cost(recorder, lambda: api.get("/v1/jobs", params={"limit": 100})) == one <= 2 + WHO


@pytest.mark.parametrize("query", [{}, {"state": "pending"}, {"state": "failed"}, {"error_code": "truncated"}], ids=str)
def test_listing_items_costs_the_same_for_ten_and_for_a_thousand(
    api: httpx.Client, database: Database, recorder: QueryRecorder, query: dict[str, str]
) -> None:
    with database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING, items=4_000)
        make_results(session, job, range(1_500), ItemState.FAILED)
        make_results(session, job, range(1_500, 2_500))
    few, many = (
        cost(recorder, lambda limit=limit: api.get(f"/v1/jobs/{job.id}/items", params=query | {"limit": limit}))
        for limit in (10, 1_000)
    )
    assert few == many <= 2 + WHO


def test_looking_at_a_job_costs_the_same_whatever_its_size(
    api: httpx.Client, database: Database, recorder: QueryRecorder
) -> None:
    with database.transaction() as session:
        small, large = (make_job(session, items=items, shard_size=4) for items in (4, 2_000))
    costs = [cost(recorder, lambda job=job: api.get(f"/v1/jobs/{job.id}")) for job in (small, large)]
    assert costs[0] == costs[1] <= 2 + WHO


def test_looking_at_events_costs_the_same_for_one_and_for_many(
    api: httpx.Client, database: Database, recorder: QueryRecorder
) -> None:
    (job_id,) = add_jobs(database, 1)

    def trail() -> httpx.Response:
        return api.get(f"/v1/jobs/{job_id}/events", headers=JSON, params={"limit": 1_000})

    api.post(f"/v1/jobs/{job_id}/pause")
    one = cost(recorder, trail)
    for _ in range(20):
        api.post(f"/v1/jobs/{job_id}/resume")
        api.post(f"/v1/jobs/{job_id}/pause")
    assert cost(recorder, trail) == one <= 2 + WHO


def test_each_control_costs_a_few_statements(api: httpx.Client, database: Database, recorder: QueryRecorder) -> None:
    (job_id,) = add_jobs(database, 1)
    path = f"/v1/jobs/{job_id}"
    limit = 10 + WHO  # lock, clock, move, clock, event, its messages, the breakers, and the job as it is: two
    assert cost(recorder, lambda: api.post(f"{path}/pause")) <= limit
    assert cost(recorder, lambda: api.post(f"{path}/resume")) <= limit
    assert cost(recorder, lambda: api.patch(path, json={"priority": 5, "max_workers": 2})) <= limit
    assert cost(recorder, lambda: api.post(f"{path}/cancel"), 202) <= limit


def test_a_retry_costs_the_same_for_ten_items_and_for_a_thousand(
    api: httpx.Client, database: Database, recorder: QueryRecorder, storage_folder: Path
) -> None:
    costs = []
    for items in (10, 1_000):
        with database.transaction() as session:
            recipe, output = make_recipe(model="identity", style=None), f"file://{storage_folder}/out/"
            columns = {"outcome": JobOutcome.FAILED, "recipe": recipe, "output_url": output}
            job = make_job(session, state=JobState.ENDED, items=items, **columns)
            make_results(session, job, range(items), ItemState.FAILED)
        costs.append(cost(recorder, lambda job=job: api.post(f"/v1/jobs/{job.id}/retry"), 202))
    assert costs[0] == costs[1] <= 11 + WHO


def test_enqueueing_costs_a_few_statements(
    api: httpx.Client, database: Database, recorder: QueryRecorder, job_request: dict[str, Any]
) -> None:
    assert cost(recorder, lambda: api.post("/v1/jobs", json=job_request), 202) <= 8 + WHO
    headers = {"Idempotency-Key": "spring-1"}
    api.post("/v1/jobs", json=job_request, headers=headers)
    assert cost(recorder, lambda: api.post("/v1/jobs", json=job_request, headers=headers), 202) <= 4 + WHO
    assert cost(recorder, lambda: api.post("/v1/jobs", json=job_request | {"validate_only": True})) <= 3 + WHO


def test_a_bulk_call_costs_at_most_five_statements_a_job(
    api: httpx.Client, database: Database, recorder: QueryRecorder
) -> None:
    count = 20
    add_jobs(database, count)
    asked = {"action": "pause", "filter": {}}
    assert cost(recorder, lambda: api.post("/v1/jobs/bulk", json=asked | {"dry_run": True})) <= 1 + WHO
    assert cost(recorder, lambda: api.post("/v1/jobs/bulk", json=asked)) <= 2 + WHO + 5 * count


def test_listing_styles_costs_the_same_for_one_and_for_a_hundred(
    api: httpx.Client, database: Database, recorder: QueryRecorder
) -> None:
    with database.transaction() as session:
        make_style(session, "first")
    one = cost(recorder, lambda: api.get("/v1/styles"))
    with database.transaction() as session:
        for number in range(98):
            make_style(session, f"style-{number}")
    assert cost(recorder, lambda: api.get("/v1/styles")) == one <= 1 + WHO
    assert cost(recorder, lambda: api.get("/v1/styles/first")) <= 1 + WHO


def test_a_new_style_costs_a_few_statements(api: httpx.Client, recorder: QueryRecorder) -> None:
    files = [("references", (f"{number}.jpg", pictures.jpeg(number))) for number in range(8)]
    upload = {"data": {"name": "dusk"}, "files": files}
    assert cost(recorder, lambda: api.post("/v1/styles", **upload), 201) <= 3 + WHO
    assert cost(recorder, lambda: api.post("/v1/styles", **upload)) <= 1 + WHO


def test_reading_results_costs_the_same_for_ten_items_and_for_a_thousand(
    api: httpx.Client, database: Database, recorder: QueryRecorder
) -> None:
    costs = []
    for items in (10, 1_000):
        with database.transaction() as session:
            job = make_job(session, state=JobState.ENDED, items=items, shard_size=items, outcome=JobOutcome.FAILED)
            make_results(session, job, range(items), ItemState.FAILED)
        paths = [f"/v1/jobs/{job.id}/{part}" for part in ("results", "results", "results/0", "errors")]
        costs.append([cost(recorder, lambda path=path: api.get(path)) for path in paths])
    assert costs[0] == costs[1]
    assert all(each <= limit + WHO for each, limit in zip(costs[0], (4, 2, 3, 3), strict=True)), costs


def test_looking_at_measures_costs_the_same_for_one_shard_and_for_a_thousand(
    api: httpx.Client, database: Database, recorder: QueryRecorder
) -> None:
    costs = []
    for items in (1, 1_000):
        with database.transaction() as session:
            job = make_job(session, state=JobState.RUNNING, items=items, shard_size=1)
            tally: Tally = {}
            count_in(tally, [{"structure": 0.9}])
            session.execute(update(ShardRecord).where(ShardRecord.job_id == job.id).values(measures=tally))
        costs.append(cost(recorder, lambda job=job: api.get(f"/v1/jobs/{job.id}/measures")))
    assert costs[0] == costs[1] <= 2 + WHO


def test_looking_at_webhooks_costs_the_same_for_one_and_for_many(
    api: httpx.Client, database: Database, recorder: QueryRecorder
) -> None:
    def looks() -> list[int]:
        paths = ("/v1/webhooks", f"/v1/webhooks/{webhook_id}", f"/v1/webhooks/{webhook_id}/deliveries")
        return [cost(recorder, lambda path=path: api.get(path, params={"limit": 100})) for path in paths]

    with database.transaction() as session:
        webhook_id = make_webhook(session).id
        job = make_job(session)
        events.record(session, job.tenant_id, job.id, "job.ended", actor="worker")
    one = looks()
    with database.transaction() as session:
        for _ in range(9):
            make_webhook(session)
        for _ in range(99):
            events.record(session, job.tenant_id, job.id, "job.ended", actor="worker")
    assert looks() == one
    assert all(each <= limit + WHO for each, limit in zip(one, (1, 1, 2), strict=True)), one


def test_changing_a_webhook_costs_a_few_statements(
    api: httpx.Client, database: Database, recorder: QueryRecorder
) -> None:
    body = {"url": "https://93.184.215.14/hook"}
    assert cost(recorder, lambda: api.post("/v1/webhooks", json=body), 201) <= 3 + WHO
    path = f"/v1/webhooks/{api.post('/v1/webhooks', json=body).json()['id']}"
    with database.transaction() as session:
        job = make_job(session)
        events.record(session, job.tenant_id, job.id, "job.ended", actor="worker")
        session.execute(update(WebhookDeliveryRecord).values(state=DeliveryState.FAILED, ended_at=now(session)))
    [delivery] = api.get(f"{path}/deliveries").json()["data"]
    assert cost(recorder, lambda: api.post(f"{path}/deliveries/{delivery['id']}/replay"), 202) <= 4 + WHO
    for change in ("rotate", "disable", "enable"):
        assert cost(recorder, lambda change=change: api.post(f"{path}/{change}")) <= 3 + WHO
    assert cost(recorder, lambda: api.delete(path), 204) <= 6 + WHO


def test_models_cost_no_statements_but_to_find_out_who_asks(api: httpx.Client, recorder: QueryRecorder) -> None:
    assert cost(recorder, lambda: api.get("/v1/models")) <= WHO
    assert cost(recorder, lambda: api.get("/v1/models/identity")) <= WHO


def test_health_costs_nothing_and_readiness_a_few_statements(api: httpx.Client, recorder: QueryRecorder) -> None:
    assert cost(recorder, lambda: api.get("/healthz")) == 0
    assert cost(recorder, lambda: api.get("/readyz")) <= 3
