"""Events and the outbox are written with what they tell, or not at all."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from sqlalchemy import delete, event, select

from jobs import events
from jobs.database import Database
from jobs.events import EventKind
from jobs.moves import move
from jobs.records import EventRecord, WebhookDeliveryRecord, WebhookRecord
from jobs.states import JobState
from tests.factories import make_job, make_webhook


def outbox(database: Database) -> list[tuple[str, str]]:
    """The address and the kind of each message."""
    with database.reading() as session:
        rows = session.execute(
            select(WebhookRecord.url, EventRecord.kind)
            .join(WebhookDeliveryRecord, WebhookDeliveryRecord.webhook_id == WebhookRecord.id)
            .join(EventRecord, EventRecord.id == WebhookDeliveryRecord.event_id)
            .order_by(WebhookRecord.id, EventRecord.id)
        )
        return [(row.url, row.kind) for row in rows]


def test_each_webhook_gets_the_kinds_that_it_wants(database: Database) -> None:
    with database.transaction() as session:
        make_webhook(session, "https://all")
        make_webhook(session, "https://ends", kinds=["job.ended", "job.paused"])
        make_webhook(session, "https://foreign", tenant_id="other")
        make_webhook(session, "https://gone", disabled_at=make_job(session).created_at)
        job = make_job(session)
        for kind in ("job.running", "job.ended"):
            events.record(session, "default", job.id, kind, actor="worker")
    assert outbox(database) == [
        ("https://all", "job.running"),
        ("https://all", "job.ended"),
        ("https://ends", "job.ended"),
    ]


def test_a_message_has_an_id_of_its_own_and_is_due_at_once(database: Database) -> None:
    with database.transaction() as session:
        for number in range(3):
            make_webhook(session, f"https://{number}")
        job = make_job(session)
        events.record(session, "default", job.id, "job.ended", actor="worker")
    with database.reading() as session:
        deliveries = session.scalars(select(WebhookDeliveryRecord)).all()
    assert len({delivery.id for delivery in deliveries}) == 3
    assert all((delivery.attempt, delivery.log) == (0, []) for delivery in deliveries)
    assert all(delivery.due_at == delivery.created_at for delivery in deliveries)


def test_nothing_is_told_of_what_was_rolled_back(database: Database) -> None:
    with database.transaction() as session:
        make_webhook(session)
        job = make_job(session, state=JobState.QUEUED)
    with contextlib.suppress(ZeroDivisionError), database.transaction() as session:
        assert move(session, job.id, JobState.RUNNING)
        raise ZeroDivisionError
    assert outbox(database) == []


def test_an_event_that_nobody_could_subscribe_to_is_refused(database: Database) -> None:
    with database.transaction() as session:
        job = make_job(session)
        with pytest.raises(ValueError, match="danced"):
            events.record(session, "default", job.id, "job.danced", actor="worker")


@pytest.mark.parametrize("state", list(JobState))
def test_every_move_of_a_job_can_be_subscribed_to(state: JobState) -> None:
    if state is not JobState.PLANNING:  # where it begins: that is `job.enqueued`
        EventKind(f"job.{state}")


def test_an_event_costs_the_same_statements_with_and_without_webhooks(database: Database) -> None:
    with database.transaction() as session:
        job = make_job(session)
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    counts = []
    for _ in range(2):
        statements.clear()
        with database.transaction() as session:
            events.record(session, "default", job.id, "job.ended", actor="worker")
        counts.append(len(statements))
        with database.transaction() as session:
            make_webhook(session)
    event.remove(database.engine, "before_cursor_execute", note)
    assert counts == [3, 3]  # the clock, the event, the outbox


def test_a_webhook_that_is_removed_meanwhile_does_not_break_a_job(postgres_url: str) -> None:
    database = Database(postgres_url)
    with database.transaction() as session:
        webhook = make_webhook(session)
        job = make_job(session, state=JobState.QUEUED)
    moved = threading.Event()

    def run() -> None:
        with database.transaction() as session:
            assert move(session, job.id, JobState.RUNNING)
        moved.set()

    thread = threading.Thread(target=run)
    with database.transaction() as session:
        session.execute(delete(WebhookRecord).where(WebhookRecord.id == webhook.id))
        thread.start()
        assert not moved.wait(0.3), "the event must not take a webhook for granted that is being removed"
    thread.join()
    assert moved.is_set()
    assert outbox(database) == []
    database.close()
