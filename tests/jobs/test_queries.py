"""Questions at size: statements are counted, and plans are looked at, on both databases."""

from __future__ import annotations

import contextlib
import datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from jobs.queries import Counts, JobStatus, estimate_of, item_page, job_page, job_status, progress_of
from jobs.records import JobRecord, ShardRecord
from jobs.states import ItemState, JobState
from jobs.tenants import Tenant
from tests.factories import make_job, make_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.database import Database

TENANT = Tenant(id="default", allowed_prefixes=())
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


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


def counts(total: int, settled: int) -> Counts:
    return Counts(
        total=total,
        pending=total - settled,
        succeeded=settled,
        reused=0,
        rejected=0,
        failed=0,
        cancelled=0,
        bad_rows=0,
        passed_over=0,
    )


def job_at(state: JobState, *, ended_after: int | None = None, planned: bool = True) -> JobRecord:
    return JobRecord(
        state=state,
        planned_at=NOON if planned else None,
        started_at=NOON,
        ended_at=None if ended_after is None else NOON + datetime.timedelta(seconds=ended_after),
    )


def test_the_rate_is_what_was_settled_since_the_start() -> None:
    progress = progress_of(job_at(JobState.RUNNING), counts(100, 20), NOON + datetime.timedelta(seconds=10))
    assert (progress.fraction, progress.items_per_second, progress.seconds_left) == (0.2, 2.0, 40.0)
    assert progress.eta_at == NOON + datetime.timedelta(seconds=50)


def test_the_rate_of_an_ended_job_stays() -> None:
    later = NOON + datetime.timedelta(days=1)
    progress = progress_of(job_at(JobState.ENDED, ended_after=10), counts(100, 100), later)
    assert (progress.fraction, progress.items_per_second, progress.eta_at) == (1.0, 10.0, None)


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.CANCELLING, JobState.QUEUED])
def test_a_job_that_nobody_works_on_has_no_end_in_sight(state: JobState) -> None:
    progress = progress_of(job_at(state), counts(100, 20), NOON + datetime.timedelta(seconds=10))
    assert (progress.seconds_left, progress.eta_at) == (None, None)


def test_nothing_is_foretold_before_the_total_is_known() -> None:
    job = job_at(JobState.RUNNING, planned=False)
    progress = progress_of(job, counts(100, 20), NOON + datetime.timedelta(seconds=10))
    assert (progress.fraction, progress.seconds_left) == (None, None)
    assert progress.items_per_second == 2.0


def test_a_job_without_items_is_whole() -> None:
    progress = progress_of(job_at(JobState.ENDED, ended_after=0), counts(0, 0), NOON)
    assert (progress.fraction, progress.items_per_second) == (1.0, None)


def test_what_is_pending_will_take_what_a_device_took_on_average_so_far() -> None:
    job = job_at(JobState.RUNNING)
    assert estimate_of(job, counts(100, 20), so_far=30.0, device_items=15) == 30 + 80 * 2
    assert estimate_of(job, counts(100, 100), so_far=30.0, device_items=15) == 30, "what has ended is no estimate"
    assert estimate_of(job_at(JobState.CANCELLING), counts(100, 20), so_far=30.0, device_items=15) == 30


def test_nothing_is_estimated_before_a_device_had_an_item_or_the_total_is_known() -> None:
    assert estimate_of(job_at(JobState.RUNNING), counts(100, 20), so_far=0.0, device_items=0) is None
    planning = job_at(JobState.RUNNING, planned=False)
    assert estimate_of(planning, counts(100, 20), so_far=30.0, device_items=15) is None


def spend(database: Database, job: JobRecord, *shards: tuple[float, float | None]) -> None:
    """Let some shards of four items have settled, after so many device-seconds at such a cost."""
    with database.transaction() as session:
        make_results(session, job, range(4 * len(shards)))
        for number, (seconds, cost) in enumerate(shards):
            shard = session.get_one(ShardRecord, (job.id, number))
            shard.device_item_count, shard.device_seconds, shard.cost = 4, seconds, cost


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
