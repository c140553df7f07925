"""The rules of the outbox: order, leases, attempts, replays."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from sqlalchemy import func, select, update

from jobs import deliveries, events
from jobs.calls import Answer
from jobs.database import Database, now
from jobs.deliveries import MAX_BODY_BYTES, Message, any_due, body_of, claim, record_answer, replay
from jobs.errors import Conflict, NotFound
from jobs.records import EventRecord, JobRecord, WebhookDeliveryRecord, WebhookRecord
from jobs.retries import WEBHOOK_SECONDS, webhook_pause
from jobs.states import DeliveryState
from jobs.tenants import Tenant
from tests.factories import make_job, make_webhook

TENANT = Tenant(id="default", allowed_prefixes=())
OK = Answer(status=204, error=None, milliseconds=3)
BAD = Answer(status=500, error=None, milliseconds=3)
GONE = Answer(status=410, error=None, milliseconds=3)
DAY = 24 * 3600


def add_webhook(database: Database, **columns: Any) -> WebhookRecord:
    with database.transaction() as session:
        return make_webhook(session, **columns)


def tell(database: Database, *kinds: str, job: JobRecord | None = None) -> JobRecord:
    """Record events of one job, by default of a new one."""
    with database.transaction() as session:
        job = job or make_job(session)
        for kind in kinds:
            events.record(session, "default", job.id, kind, actor="worker")
        return job


def claimed(database: Database, limit: int = 100) -> list[Message]:
    with database.transaction() as session:
        return claim(session, limit=limit)


def answered(database: Database, message: Message, answer: Answer) -> DeliveryState | None:
    with database.transaction() as session:
        return record_answer(session, message, answer)


def make_due(database: Database) -> None:
    """Let time pass, for everything that waits."""
    with database.transaction() as session:
        session.execute(update(WebhookDeliveryRecord).values(due_at=now(session) - datetime.timedelta(seconds=1)))


def get(database: Database, delivery_id: uuid.UUID) -> WebhookDeliveryRecord:
    with database.reading() as session:
        return session.get_one(WebhookDeliveryRecord, delivery_id)


def kinds(database: Database, messages: list[Message]) -> list[str]:
    with database.reading() as session:
        return [
            session.execute(
                select(EventRecord.kind)
                .join(WebhookDeliveryRecord, WebhookDeliveryRecord.event_id == EventRecord.id)
                .where(WebhookDeliveryRecord.id == message.id)
            ).scalar_one()
            for message in messages
        ]


def test_a_message_is_claimed_by_one_sender(database: Database) -> None:
    add_webhook(database)
    tell(database, "job.ended")
    [message] = claimed(database)
    assert claimed(database) == []
    assert message.attempt == 1
    assert answered(database, message, OK) is DeliveryState.DELIVERED
    make_due(database)
    assert claimed(database) == []
    with database.reading() as session:
        assert not any_due(session)


def test_a_sender_that_died_is_followed_and_refused_when_it_comes_back(database: Database) -> None:
    add_webhook(database)
    tell(database, "job.ended")
    [first] = claimed(database)
    make_due(database)
    [second] = claimed(database)
    assert (second.id, second.body, second.attempt) == (first.id, first.body, 2)
    assert answered(database, first, OK) is None
    assert get(database, first.id).state is DeliveryState.PENDING
    assert answered(database, second, BAD) is DeliveryState.PENDING


def test_a_message_waits_for_the_earlier_ones_of_its_job_alone(database: Database) -> None:
    add_webhook(database)
    tell(database, "job.queued", "job.running", "job.ended")
    tell(database, "job.paused")
    first, other = claimed(database)
    assert kinds(database, [first, other]) == ["job.queued", "job.paused"]
    assert claimed(database) == []
    answered(database, other, OK)
    answered(database, first, BAD)
    assert claimed(database) == [], "the first is tried again before the second is sent"
    make_due(database)
    [again] = claimed(database)
    assert again.id == first.id
    answered(database, again, OK)
    [second] = claimed(database)
    assert kinds(database, [second]) == ["job.running"]
    answered(database, second, OK)
    assert kinds(database, claimed(database)) == ["job.ended"]


def test_what_waits_for_another_is_not_looked_at_again_and_again(database: Database) -> None:
    add_webhook(database)
    tell(database, *["job.changed"] * 5)
    [first] = claimed(database)
    answered(database, first, BAD)
    claimed(database)
    with database.reading() as session:
        assert not any_due(session)
        dues = session.scalars(select(WebhookDeliveryRecord.due_at)).all()
    assert set(dues) == {get(database, first.id).due_at}


def test_each_webhook_has_its_own_order(database: Database) -> None:
    down = add_webhook(database, url="https://down")
    add_webhook(database, url="https://up")
    tell(database, "job.queued", "job.ended")
    sent = []
    for _ in range(3):
        for message in claimed(database):
            if message.webhook_id == down.id:
                answered(database, message, BAD)
            else:
                answered(database, message, OK)
                sent += kinds(database, [message])
    assert sent == ["job.queued", "job.ended"]


def test_a_webhook_with_much_to_hear_does_not_keep_another_waiting(database: Database) -> None:
    add_webhook(database, url="https://busy", kinds=["job.changed"])
    add_webhook(database, url="https://quiet", kinds=["job.ended"])
    for _ in range(deliveries.LOOKED_AT + 10):
        tell(database, "job.changed")
    tell(database, "job.ended")
    assert {message.url for message in claimed(database, limit=2)} == {"https://busy", "https://quiet"}


def test_an_attempt_that_fails_is_repeated_for_about_a_day_and_then_given_up(database: Database) -> None:
    add_webhook(database)
    job = tell(database, "job.ended")
    message = None
    for attempt in range(1, len(WEBHOOK_SECONDS) + 2):
        [message] = claimed(database)
        assert message.attempt == attempt
        state = answered(database, message, BAD)
        make_due(database)
    assert message is not None
    assert state is DeliveryState.FAILED
    assert claimed(database) == []
    log = get(database, message.id).log
    assert [entry["status"] for entry in log] == [500] * (len(WEBHOOK_SECONDS) + 1)
    tell(database, "job.changed", job=job)
    assert len(claimed(database)) == 1, "what was given up is not waited for"


def test_the_pauses_grow_to_about_a_day_in_all() -> None:
    pauses = [webhook_pause(attempt) for attempt in range(1, len(WEBHOOK_SECONDS) + 1)]
    assert webhook_pause(len(pauses) + 1) is None
    assert 0.9 * DAY * 0.95 < sum(pause or 0 for pause in pauses) < 1.15 * DAY
    assert pauses[0] is not None
    assert pauses[0] < 10


def test_the_log_keeps_the_latest_attempts_only(database: Database) -> None:
    webhook = add_webhook(database)
    tell(database, "job.ended")
    for number in range(deliveries.LOG_ENTRIES + 3):
        [message] = claimed(database)
        answered(database, message, Answer(status=204, error=None, milliseconds=number))
        with database.transaction() as session:
            replay(session, TENANT, webhook.id, message.id)
    log = get(database, message.id).log
    assert [entry["milliseconds"] for entry in log] == list(range(3, deliveries.LOG_ENTRIES + 3))


def test_a_receiver_that_is_gone_gets_nothing_more(database: Database) -> None:
    webhook = add_webhook(database)
    tell(database, "job.queued", "job.ended")
    [message] = claimed(database)
    assert answered(database, message, GONE) is DeliveryState.FAILED
    with database.reading() as session:
        assert session.get_one(WebhookRecord, webhook.id).disabled_at is not None
    tell(database, "job.ended")
    assert claimed(database) == []
    with database.reading() as session:
        states = session.scalars(select(WebhookDeliveryRecord.state)).all()
    assert states == [DeliveryState.FAILED] * 2, "what waited has failed, and nothing new was written"
    with database.transaction() as session, pytest.raises(Conflict):
        replay(session, TENANT, webhook.id, message.id)


def test_a_replay_sends_the_same_message_again(database: Database) -> None:
    webhook = add_webhook(database)
    tell(database, "job.ended")
    [first] = claimed(database)
    with database.transaction() as session:
        replay(session, TENANT, webhook.id, first.id)
    assert claimed(database) == [], "it is on its way"
    answered(database, first, OK)
    with database.transaction() as session:
        assert replay(session, TENANT, webhook.id, first.id).delivery.state is DeliveryState.PENDING
    [second] = claimed(database)
    assert (second.id, second.body, second.attempt) == (first.id, first.body, 1)
    answered(database, second, OK)
    assert [entry["status"] for entry in get(database, first.id).log] == [204, 204]


def test_a_replay_of_another_webhooks_message_is_refused(database: Database) -> None:
    webhook, other = add_webhook(database), add_webhook(database, url="https://other")
    tell(database, "job.ended")
    mine = next(message for message in claimed(database) if message.webhook_id == webhook.id)
    with database.transaction() as session, pytest.raises(NotFound):
        replay(session, TENANT, other.id, mine.id)
    with database.transaction() as session, pytest.raises(NotFound):
        replay(session, Tenant(id="foreign", allowed_prefixes=()), webhook.id, mine.id)


def test_removing_a_webhook_while_its_message_is_sent_harms_nobody(database: Database) -> None:
    webhook = add_webhook(database)
    tell(database, "job.ended")
    [message] = claimed(database)
    with database.transaction() as session:
        session.delete(session.get_one(WebhookRecord, webhook.id))
    assert answered(database, message, OK) is None
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(WebhookDeliveryRecord)) == 0


def test_a_body_is_thin_whatever_the_event_holds() -> None:
    rows = [{"row_no": number, "code": "key_missing", "message": "give a key"} for number in range(1000)]
    told = EventRecord(
        job_id=uuid.uuid4(),
        kind="job.ended",
        data={"outcome": "failed", "error": {"code": "bad_rows", "message": "x" * 9000, "rows": rows}},
        happened_at=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    )
    body = body_of(told)
    assert len(body) < 1000
    assert b'"code":"bad_rows"' in body
    assert b'"timestamp":"2026-01-02T00:00:00+00:00"' in body
    told.data = {"before": {"note": "x" * MAX_BODY_BYTES}}
    assert len(body_of(told)) < MAX_BODY_BYTES
    assert str(told.job_id).encode() in body_of(told)
