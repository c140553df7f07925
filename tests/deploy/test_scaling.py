"""What KEDA asks the database, and what it is told."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from deploy.lint import FOLDER
from deploy.references import read_yaml
from jobs import events, webhooks
from jobs.database import Database
from jobs.records import ShardRecord
from jobs.states import ItemState, JobState
from jobs.tenants import Tenant
from tests.factories import TENANT, lease, make_job, make_results

TRIGGER = read_yaml(FOLDER / "kubernetes" / "keda-scaledobject.yaml")["spec"]["triggers"][0]
QUERY = TRIGGER["metadata"]["query"]


@pytest.fixture
def session(postgres_url: str) -> Iterator[Session]:
    database = Database(postgres_url)
    with database.transaction() as session:
        yield session
    database.close()


def outstanding(session: Session) -> int:
    session.flush()
    [row] = session.execute(text(QUERY)).all()
    [number] = row
    assert isinstance(number, int)
    return number


def test_an_idle_service_needs_no_worker(session: Session) -> None:
    make_job(session, state=JobState.ENDED, items=30, shard_size=10)
    assert outstanding(session) == 0


def test_pending_items_of_queued_and_running_jobs_are_counted_and_one_for_each_job(session: Session) -> None:
    make_job(session, state=JobState.QUEUED, items=100, shard_size=16)
    running = make_job(session, state=JobState.RUNNING, items=40, shard_size=16)
    make_results(session, running, range(20))  # ends the first shard, leaves 12 of the second
    make_results(session, running, [20], ItemState.FAILED)
    make_results(session, running, [21], ItemState.REJECTED)
    assert outstanding(session) == (100 + 1) + (40 - 22 + 1)


def test_items_in_flight_are_counted_until_they_settle(session: Session) -> None:
    job = make_job(session, items=10, shard_size=10)
    shard = session.get(ShardRecord, (job.id, 0))
    assert shard is not None
    lease(session, shard)
    assert outstanding(session) == 10 + 1


@pytest.mark.parametrize("state", [JobState.PLANNING, JobState.CANCELLING, JobState.FINISHING])
def test_a_job_that_a_worker_must_move_on_wakes_one_whatever_its_items(session: Session, state: JobState) -> None:
    make_job(session, state=state, items=500, shard_size=100)
    assert outstanding(session) == 1


def test_a_job_whose_last_item_has_settled_keeps_a_worker_until_it_is_finished(session: Session) -> None:
    job = make_job(session, state=JobState.RUNNING, items=5)
    make_results(session, job, range(5))
    assert outstanding(session) == 1


def test_a_paused_job_needs_no_worker(session: Session) -> None:
    make_job(session, state=JobState.PAUSED, items=100)
    assert outstanding(session) == 0


def test_a_paused_job_is_planned_all_the_same(session: Session) -> None:
    make_job(session, state=JobState.PAUSED, planned_at=None)
    assert outstanding(session) == 1


def test_a_planned_job_that_is_not_due_needs_no_worker_until_it_is(session: Session) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    make_job(session, items=100, not_before_at=later)
    assert outstanding(session) == 0
    make_job(session, items=10, not_before_at=later - datetime.timedelta(hours=2))
    make_job(session, state=JobState.PLANNING, not_before_at=later)
    assert outstanding(session) == 10 + 1 + 1


def test_a_message_that_is_due_wakes_a_worker(session: Session) -> None:
    job = make_job(session, state=JobState.ENDED)
    webhooks.create(session, Tenant(id=TENANT, allowed_prefixes=()), "https://shop.example/", None)
    events.record(session, TENANT, job.id, "job.ended", actor="service")
    assert outstanding(session) == 1


def test_the_jobs_of_another_queue_are_not_this_fleet_s(session: Session) -> None:
    make_job(session, items=100, queue="cpu")
    assert outstanding(session) == 0


def test_the_fleet_counts_the_queue_that_it_works_on() -> None:
    config = read_yaml(FOLDER / "kubernetes" / "configmap.yaml")["data"]
    assert f"jobs.queue = '{config['RESTYLE_QUEUE']}'" in QUERY


def test_one_outstanding_step_is_enough_to_wake_a_fleet_of_none() -> None:
    assert float(TRIGGER["metadata"]["activationTargetQueryValue"]) < 1
