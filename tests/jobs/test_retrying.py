"""Trying items of an ended job again: which they are, and where their pictures go, on both databases."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs import source_rows
from jobs.advance import advance
from jobs.cards import CardShelf
from jobs.database import Database, append, now
from jobs.errors import Conflict
from jobs.job_leases import claim_job
from jobs.locations import Location
from jobs.recipes import JobSource, PrefixSource
from jobs.records import BadRowRecord, ItemRecord, JobRecord
from jobs.requests import RecipeChanges, RetryRequest
from jobs.retrying import child_request, find_retried, retried_items
from jobs.states import ItemState, JobOutcome, JobState
from jobs.storage import Storages
from jobs.tenants import Tenant
from tests.factories import item_row, make_job, make_recipe, make_results

TENANT = Tenant(id="default", allowed_prefixes=(Location.parse("s3://shop/"),))
OTHER = Tenant(id="other", allowed_prefixes=TENANT.allowed_prefixes)
STOPPING = threading.Event()  # never set


def make_parent(session: Session, items: int = 12) -> JobRecord:
    """An ended job: of every four items one succeeded, one failed, one was rejected, one was cancelled."""
    job = make_job(session, state=JobState.ENDED, items=items, outcome=JobOutcome.PARTIAL, output_url="s3://shop/out/")
    make_results(session, job, range(0, items, 4))
    make_results(session, job, range(1, items, 4), ItemState.FAILED, error_code="out_of_memory")
    make_results(session, job, range(2, items, 4), ItemState.REJECTED, error_code="structure")
    make_results(session, job, range(3, items, 4), ItemState.CANCELLED)
    return job


def plan(database: Database, allowed: Sequence[str] = ("s3://shop/",)) -> None:
    with database.transaction() as session:
        lease = claim_job(session, worker_id=uuid.uuid4(), lease_seconds=30, stopping=STOPPING)
    assert lease is not None
    advance(
        database,
        Storages(),
        lease,
        shelf=CardShelf(),
        allowed=allowed,
        ring=lambda _queue, _times: None,
        draw_sheet=lambda _job, _folder: {},
    )


def items_of(database: Database, job_id: uuid.UUID) -> list[ItemRecord]:
    with database.reading() as session:
        return list(session.scalars(select(ItemRecord).where(ItemRecord.job_id == job_id).order_by(ItemRecord.item_no)))


def make_child(database: Database, parent: JobRecord, **source: Any) -> uuid.UUID:
    with database.transaction() as session:
        return make_job(
            session,
            state=JobState.PLANNING,
            source=JobSource(job_id=parent.id, **source).model_dump(mode="json"),
            output_url=parent.output_url,
            parent_job_id=parent.id,
        ).id


@pytest.mark.parametrize(
    ("source", "numbers"),
    [
        ({}, [1, 2, 3, 5, 6, 7, 9, 10, 11]),
        ({"states": ["failed"]}, [1, 5, 9]),
        ({"states": ["failed", "failed"]}, [1, 5, 9]),
        ({"states": ["succeeded", "cancelled"]}, [0, 3, 4, 7, 8, 11]),
        ({"error_codes": ["structure", "deadline"]}, [2, 6, 10]),
        ({"states": ["failed"], "error_codes": ["structure"]}, []),
    ],
)
def test_items_are_chosen_by_state_and_error_code(
    database: Database, source: dict[str, Any], numbers: list[int]
) -> None:
    with database.transaction() as session:
        parent = make_parent(session)
    chosen = JobSource(job_id=parent.id, **source)
    with database.reading() as session:
        found = find_retried(session, TENANT, chosen)
        assert found is not None
        assert found.count == len(numbers)
        assert [item.item_no for item in retried_items(session, chosen, after=-1, limit=100)] == numbers
        behind = retried_items(session, chosen, after=4, limit=2)
    assert [item.item_no for item in behind] == [number for number in numbers if number > 4][:2]


def test_only_what_has_ended_can_be_retried_and_only_by_its_tenant(database: Database) -> None:
    with database.transaction() as session:
        running = make_job(session, state=JobState.RUNNING, items=1)
        ended = make_parent(session)
    with database.reading() as session:
        with pytest.raises(Conflict, match="is running"):
            find_retried(session, TENANT, JobSource(job_id=running.id))
        assert find_retried(session, OTHER, JobSource(job_id=ended.id)) is None
        assert find_retried(session, TENANT, JobSource(job_id=uuid.uuid4())) is None
        assert find_retried(session, TENANT, PrefixSource(url="s3://shop/")) is None


def test_a_child_writes_to_the_very_keys_that_its_parent_had(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_rows, "PAGE", 4)
    with database.transaction() as session:
        parent = make_parent(session, 40)
        extra = [item_row(parent, 40, output_key="shoes/a~0123abcd.jpg", output_key_digest=b"x" * 16)]
        append(session, ItemRecord, extra)
        make_results(session, parent, [40], ItemState.FAILED)
    child = make_child(database, parent)
    plan(database)
    before = {item.source_url: item for item in items_of(database, parent.id)}
    items = items_of(database, child)
    assert [item.item_no for item in items] == list(range(31))
    for item in items:
        first = before[item.source_url]
        assert (item.output_key, item.product_id, item.attributes) == (
            first.output_key,
            first.product_id,
            first.attributes,
        )
    assert items[-1].output_key == "shoes/a~0123abcd.jpg"
    with database.reading() as session:
        job = session.get_one(JobRecord, child)
    assert (job.state, job.planned_at is not None) == (JobState.QUEUED, True)


def test_an_item_in_a_place_that_is_no_longer_allowed_is_refused_row_by_row(database: Database) -> None:
    with database.transaction() as session:
        parent = make_parent(session)
    child = make_child(database, parent, states=["failed"])
    plan(database, allowed=("s3://elsewhere/",))
    assert items_of(database, child) == []
    with database.reading() as session:
        rows = session.scalars(select(BadRowRecord).order_by(BadRowRecord.row_no)).all()
    assert [(row.row_no, row.code) for row in rows] == [(number + 1, "source_not_allowed") for number in (1, 5, 9)]


def test_a_child_asks_for_what_its_parent_asked_but_for_what_differs(database: Database) -> None:
    with database.transaction() as session:
        recipe = make_recipe(parameters={"strength": 1.0, "grain": 0.2}, format="webp", quality=80)
        parent = make_job(
            session,
            state=JobState.ENDED,
            recipe=recipe,
            priority=7,
            max_workers=3,
            retention_days=30,
            outputs_expire=True,
            failure_policy={"action": "ignore", "max_failed_share": 0.1, "min_items": 9},
            deadline_at=now(session),
        )
    same = child_request(parent, RetryRequest())
    assert same.recipe == recipe
    assert same.source == JobSource(job_id=parent.id)
    assert (same.priority, same.max_workers, same.deadline_at) == (7, 3, None)
    assert same.failure_policy.action == "ignore"
    assert same.retention is not None
    assert (same.retention.days, same.retention.outputs) == (30, "delete")
    changes = RecipeChanges(parameters={"strength": 0.5}, quality=95)
    milder = child_request(parent, RetryRequest(recipe=changes)).recipe
    assert (milder.parameters, milder.quality, milder.format) == ({"strength": 0.5, "grain": 0.2}, 95, "webp")
    other = child_request(parent, RetryRequest(recipe=RecipeChanges(model="plain", style=None))).recipe
    assert (other.model, other.style, other.parameters) == ("plain", None, {})
