"""Planning of jobs that are paused meanwhile, or wait for a person's word at its end; on both databases."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from sqlalchemy import select

from jobs import claims, controls, planning
from jobs.cards import CardShelf
from jobs.database import Database
from jobs.locations import Location
from jobs.records import EventRecord, JobRecord
from jobs.states import JobState
from jobs.storage import Storages
from jobs.tenants import Tenant
from tests.jobs.test_planning import Planner, fill

TENANT = Tenant(id="default", allowed_prefixes=(Location.parse("s3://shop/"),))


@pytest.fixture
def planner(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planner:
    monkeypatch.setattr(planning, "CHUNK_ITEMS", 2)
    (tmp_path / "shop").mkdir()
    planner = Planner(database, tmp_path)
    fill(planner, [f"{number}.jpg" for number in range(5)])
    return planner


def nothing_runs(planner: Planner) -> bool:
    with planner.database.transaction() as session:
        return not claims.claim(session, worker_id=uuid.uuid4(), queue="gpu", lease_seconds=30)


def kinds(planner: Planner, job_id: uuid.UUID) -> list[str]:
    with planner.database.reading() as session:
        chosen = select(EventRecord.kind).where(EventRecord.job_id == job_id).order_by(EventRecord.id)
        return list(session.scalars(chosen))


def confirmed_later(planner: Planner) -> uuid.UUID:
    job_id = planner.add(planner.prefix())
    with planner.database.transaction() as session:
        session.get_one(JobRecord, job_id).require_confirmation = True
    return job_id


def plan_while(planner: Planner, act: object) -> None:
    """Plan a job to its end; `act` happens between its first chunk and its second."""
    lease = planner.claim()
    assert lease is not None
    append = planning._Planner.append
    chunks = 0

    def counted(self: planning._Planner, chunk: planning._Chunk) -> None:
        nonlocal chunks
        append(self, chunk)
        chunks += 1
        if chunks == 1:
            act()  # type: ignore[operator]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning._Planner, "append", counted)
        planning.plan(
            planner.database, Storages(), lease, shelf=CardShelf(), allowed=planner.allowed, ring=planner.rings
        )
    assert chunks == 3


def test_a_job_that_needs_confirmation_is_planned_to_its_end_and_waits(planner: Planner) -> None:
    job_id = confirmed_later(planner)
    ran: list[bool] = []
    plan_while(planner, lambda: ran.append(not nothing_runs(planner)))
    job = planner.job(job_id)
    assert ran == [False], "not even the first chunk may run"
    assert (job.state, job.planned_item_count) == (JobState.PAUSED, 5)
    assert job.pause_reason is not None
    assert job.pause_reason["code"] == "confirmation_required"
    assert job.pause_reason["message"].startswith("5 items are ready")
    assert nothing_runs(planner)
    with planner.database.transaction() as session:
        controls.resume(session, TENANT, job_id)
    assert not nothing_runs(planner)
    assert planner.job(job_id).require_confirmation is False
    assert kinds(planner, job_id) == ["job.paused", "job.queued", "job.running"]


def test_a_job_that_is_paused_while_it_is_planned_stays_so_and_is_planned_on(planner: Planner) -> None:
    job_id = planner.add(planner.prefix())

    def pause() -> None:
        with planner.database.transaction() as session:
            controls.pause(session, TENANT, job_id)

    plan_while(planner, pause)
    job = planner.job(job_id)
    assert (job.state, job.planned_item_count, job.planned_at is not None) == (JobState.PAUSED, 5, True)
    assert nothing_runs(planner)
    assert kinds(planner, job_id) == ["job.queued", "job.paused"]


def test_a_job_that_was_paused_before_it_needs_confirmation_says_so_once_it_is_planned(planner: Planner) -> None:
    job_id = confirmed_later(planner)

    def pause() -> None:
        with planner.database.transaction() as session:
            controls.pause(session, TENANT, job_id)

    plan_while(planner, pause)
    job = planner.job(job_id)
    assert job.state is JobState.PAUSED
    assert job.pause_reason is not None
    assert job.pause_reason["code"] == "confirmation_required"
    assert kinds(planner, job_id) == ["job.paused", "job.paused"]


def test_resuming_a_job_that_is_still_planned_does_not_confirm_it(planner: Planner) -> None:
    job_id = confirmed_later(planner)

    def pause_and_resume() -> None:
        with planner.database.transaction() as session:
            controls.pause(session, TENANT, job_id)
            controls.resume(session, TENANT, job_id)

    plan_while(planner, pause_and_resume)
    assert planner.job(job_id).state is JobState.PAUSED
    assert nothing_runs(planner)


def test_a_manifest_that_turns_out_bad_fails_its_job_even_while_it_is_paused(planner: Planner) -> None:
    job_id = planner.add(planner.manifest("product_id,key\nP1,shop/0.jpg\nP2,\n"))
    with planner.database.transaction() as session:
        controls.pause(session, TENANT, job_id)
    planner.step()
    job = planner.job(job_id)
    assert job.state is JobState.CANCELLING
    assert job.error is not None
    assert job.error["code"] == "bad_rows"
