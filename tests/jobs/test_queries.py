"""Questions at size: statements are counted, and plans are looked at, on both databases."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, text

from jobs import sums
from jobs.queries import JobStatus, item_page, job_page, job_status
from jobs.records import JobRecord
from jobs.states import ItemState, JobState
from jobs.tenants import Tenant
from tests.factories import make_job, make_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.database import Database

TENANT = Tenant(id="default", allowed_prefixes=())


@contextlib.contextmanager
def recorded(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that run inside the block, with their parameters."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    yield statements
    event.remove(database.engine, "before_cursor_execute", note)


def large_job(database: Database, items: int) -> JobRecord:
    """A job half done, in which one item of a hundred failed."""
    with database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING, items=items, shard_size=100)
        done = range(items // 2)
        make_results(session, job, (item_no for item_no in done if item_no % 100))
        make_results(session, job, (item_no for item_no in done if not item_no % 100), ItemState.FAILED)
    if database.engine.dialect.name == "postgresql":
        with database.transaction() as session:
            session.execute(text("ANALYZE"))
    return job


def plans(database: Database, statements: list[tuple[str, Any]]) -> str:
    postgres = database.engine.dialect.name == "postgresql"
    with database.engine.connect() as connection:
        return "\n".join(
            str(row)
            for statement, parameters in statements
            if "results" in statement
            for row in connection.exec_driver_sql(
                f"{'EXPLAIN' if postgres else 'EXPLAIN QUERY PLAN'} {statement}", parameters
            )
        )


def test_a_status_and_a_list_take_the_same_statements_for_any_number_of_items(database: Database) -> None:
    counted = []
    for items in (3, 2_000):
        job = large_job(database, items)
        with recorded(database) as statements, database.reading() as session:
            job_status(session, TENANT, job.id)
            job_page(session, TENANT, limit=20)
            for state in (None, *ItemState):
                item_page(session, job, state=state, limit=100)
            item_page(session, job, error_code="truncated", limit=100)
        counted.append(len(statements))
    assert counted[0] == counted[1] <= 2 + 2 + 8 + len(ItemState)


def test_troubled_items_are_found_by_their_own_index(database: Database) -> None:
    job = large_job(database, 6_000)
    asks: list[dict[str, Any]] = [{"state": ItemState.FAILED}, {"error_code": "truncated"}]
    for asked in asks:
        with recorded(database) as statements, database.reading() as session:
            page = item_page(session, job, after=1_000, limit=50, **asked)
        assert [row.item.item_no for row in page.rows][:2] == [1_100, 1_200]
        assert page.more is False
        assert "ix_results_troubled" in plans(database, statements)


def test_pending_items_are_found_behind_the_settled_ones(database: Database) -> None:
    job = large_job(database, 1_000)
    with database.reading() as session:
        page = item_page(session, job, state=ItemState.PENDING, limit=10)
    assert [row.item.item_no for row in page.rows] == list(range(500, 510))
    assert all(row.result is None and row.state is ItemState.PENDING for row in page.rows)


def test_a_job_whose_items_have_all_settled_has_no_pending_ones(database: Database) -> None:
    with database.transaction() as session:
        job = make_job(session, state=JobState.ENDED, items=5)
        assert item_page(session, job, state=ItemState.PENDING, limit=10).rows == []


def spend(database: Database, job: JobRecord, *shards: tuple[float, float | None]) -> None:
    """Let some shards of four items have settled, after so many device-seconds at such a cost."""
    with database.transaction() as session:
        make_results(session, job, range(4 * len(shards)))
        added = [
            sums.Added(job_id=job.id, stripe=stripe, counts={}, device_item_count=4, device_seconds=seconds, cost=cost)
            for stripe, (seconds, cost) in enumerate(shards)
        ]
        sums.add(session, added)


def status_of(database: Database, job: JobRecord) -> JobStatus:
    with database.reading() as session:
        return job_status(session, TENANT, job.id)


def test_a_job_says_what_it_took_and_will_take_and_what_that_costs(database: Database) -> None:
    with database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING, items=16, shard_size=4)
    status = status_of(database, job)
    assert (status.device_seconds, status.cost) == (0.0, None)
    assert (status.device_seconds_estimate, status.cost_estimate) == (None, None)
    spend(database, job, (1.0, 0.1), (3.0, 0.2))
    status = status_of(database, job)
    assert (status.device_seconds, status.device_seconds_estimate) == (4.0, 8.0)
    assert (status.cost, status.cost_estimate) == (0.3, 0.6)


def test_a_job_that_ran_on_a_device_of_unknown_price_says_no_cost_rather_than_too_little(database: Database) -> None:
    with database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING, items=16, shard_size=4)
    spend(database, job, (1.0, 0.1), (3.0, None))
    status = status_of(database, job)
    assert (status.device_seconds, status.device_seconds_estimate) == (4.0, 8.0)
    assert (status.cost, status.cost_estimate) == (None, None)
