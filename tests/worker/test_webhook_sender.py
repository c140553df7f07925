"""Webhooks from the outbox to a real receiver: one that is down, slow, broken, or leads somewhere else (R19)."""

from __future__ import annotations

import datetime
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator

import pytest
from sqlalchemy import select, update

from jobs import events, webhooks
from jobs.database import Database, now
from jobs.records import WebhookDeliveryRecord, WebhookRecord
from jobs.states import DeliveryState
from jobs.tenants import Tenant
from tests.factories import make_job, make_webhook
from tests.receivers import Received, Receiver, receiving
from worker.loops import Loop
from worker.webhook_sender import WebhookSender

TENANT = Tenant(id="default", allowed_prefixes=())
KINDS = ("job.queued", "job.running", "job.finishing", "job.ended")
JOBS = 5


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def add_webhook(database: Database, url: str) -> WebhookRecord:
    with database.transaction() as session:
        return make_webhook(session, url)


def tell_of_jobs(database: Database) -> None:
    with database.transaction() as session:
        jobs = [make_job(session) for _ in range(JOBS)]
        for kind in KINDS:
            for job in jobs:
                events.record(session, "default", job.id, kind, actor="worker")


def time_passes(database: Database) -> None:
    """Let everything that waits be due, as it is after hours."""
    with database.transaction() as session:
        due = now(session) - datetime.timedelta(seconds=1)
        session.execute(
            update(WebhookDeliveryRecord).where(WebhookDeliveryRecord.state == "pending").values(due_at=due)
        )


def send_everything(database: Database, *, allow_private: bool = True, rounds: int = 100) -> None:
    sender = WebhookSender(database, allow_private=allow_private)
    for _ in range(rounds):
        if not sender.step() and not pending(database):
            return
        time_passes(database)
    raise AssertionError(f"{pending(database)} messages are left")


def pending(database: Database) -> int:
    return states(database).count(DeliveryState.PENDING)


def states(database: Database) -> list[DeliveryState]:
    with database.reading() as session:
        return list(session.scalars(select(WebhookDeliveryRecord.state)))


def first_seen(received: list[Received]) -> dict[str, list[str]]:
    """Of each job, the kinds in the order in which a receiver that drops repetitions by their id sees them."""
    seen: set[str] = set()
    by_job: dict[str, list[str]] = defaultdict(list)
    for message in received:
        if message.id not in seen:
            seen.add(message.id)
            by_job[message.told["data"]["job_id"]].append(message.told["type"])
    return by_job


def assert_each_event_came_in_order(receiver: Receiver, webhook: WebhookRecord) -> None:
    by_job = first_seen(receiver.accepted)
    assert len(by_job) == JOBS
    assert all(seen == list(KINDS) for seen in by_job.values())
    assert all(message.verified_by(webhook.secrets[0]) for message in receiver.received)
    # The same id always goes with the same body, in every attempt.
    assert len({(message.id, message.body) for message in receiver.received}) == JOBS * len(KINDS)


def test_a_healthy_receiver_gets_each_event_once_and_can_verify_it(database: Database, receiver: Receiver) -> None:
    webhook = add_webhook(database, receiver.url)
    tell_of_jobs(database)
    sender = WebhookSender(database, allow_private=True)
    while sender.step():
        pass
    assert len(receiver.received) == JOBS * len(KINDS)
    assert_each_event_came_in_order(receiver, webhook)
    assert not sender.step()


def test_a_receiver_that_fails_now_and_then_gets_each_event_in_order(database: Database, receiver: Receiver) -> None:
    # Of each message the first attempts fail, fewer than there are: one that is given up would rightly be missing.
    answers: dict[str, Iterator[int]] = {}
    receiver.answer = lambda message: next(answers.setdefault(message.id, iter([500, 503, 429, 302, 204])))
    webhook = add_webhook(database, receiver.url)
    tell_of_jobs(database)
    send_everything(database)
    assert_each_event_came_in_order(receiver, webhook)


def test_a_receiver_that_was_down_gets_everything_when_it_is_back(database: Database, receiver: Receiver) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        webhook = add_webhook(database, f"http://127.0.0.1:{unused.getsockname()[1]}/")
        tell_of_jobs(database)
        sender = WebhookSender(database, allow_private=True)
        for _ in range(3):
            sender.step()
            time_passes(database)
        assert set(states(database)) == {DeliveryState.PENDING}
    with database.transaction() as session:
        session.get_one(WebhookRecord, webhook.id).url = receiver.url
    send_everything(database)
    assert_each_event_came_in_order(receiver, webhook)
    with database.reading() as session:
        logs = session.scalars(select(WebhookDeliveryRecord.log)).all()
    assert any(len(log) > 1 and "refused" in log[0]["error"].lower() and log[-1]["status"] == 204 for log in logs)


def test_a_receiver_that_is_slow_is_called_again(database: Database, receiver: Receiver) -> None:
    receiver.drip = threading.Event()
    webhook = add_webhook(database, receiver.url)
    tell_of_jobs(database)
    WebhookSender(database, allow_private=True, call_seconds=0.2).step()
    assert set(states(database)) == {DeliveryState.PENDING}
    receiver.drip.set()
    receiver.drip = None
    time_passes(database)
    send_everything(database)
    assert_each_event_came_in_order(receiver, webhook)


def test_a_redirect_to_a_forbidden_address_is_not_followed(database: Database, receiver: Receiver) -> None:
    with receiving() as inside:
        receiver.answer = lambda _message: 307
        receiver.location = inside.url
        add_webhook(database, receiver.url)
        tell_of_jobs(database)
        send_everything(database)
        assert inside.received == []
    assert set(states(database)) == {DeliveryState.FAILED}


def test_an_address_that_became_private_is_not_called(database: Database, receiver: Receiver) -> None:
    add_webhook(database, receiver.url.replace("http:", "https:"))
    tell_of_jobs(database)
    send_everything(database, allow_private=False)
    assert receiver.received == []
    with database.reading() as session:
        log = session.scalars(select(WebhookDeliveryRecord.log)).first()
    assert log is not None
    assert "not public" in log[-1]["error"]


def test_several_senders_at_once_keep_the_order_and_send_nothing_twice(database: Database, receiver: Receiver) -> None:
    webhook = add_webhook(database, receiver.url)
    tell_of_jobs(database)
    loops = [
        Loop(f"sender-{number}", WebhookSender(database, allow_private=True).step, poll_seconds=0.05)
        for number in range(3)
    ]
    for loop in loops:
        loop.start()
    waited = threading.Event()
    for _ in range(600):
        if not pending(database):
            break
        waited.wait(0.1)
    for loop in loops:
        loop.stop()
        loop.join()
    assert len(receiver.received) == JOBS * len(KINDS)
    assert_each_event_came_in_order(receiver, webhook)


def test_messages_carry_both_signatures_while_a_secret_is_exchanged(database: Database, receiver: Receiver) -> None:
    webhook = add_webhook(database, receiver.url)
    [oldest] = webhook.secrets
    with database.transaction() as session:
        older, newer = webhooks.rotate(session, TENANT, webhook.id).secrets
    tell_of_jobs(database)
    send_everything(database)
    assert older == oldest
    assert all(message.verified_by(older) and message.verified_by(newer) for message in receiver.received)
    receiver.received.clear()
    with database.transaction() as session:
        assert webhooks.rotate(session, TENANT, webhook.id).secrets[0] == newer
    tell_of_jobs(database)
    send_everything(database)
    assert receiver.received
    assert all(message.verified_by(newer) and not message.verified_by(oldest) for message in receiver.received)
