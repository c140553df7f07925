"""Webhooks, results and retention through real processes."""

from __future__ import annotations

import datetime
import hashlib
import time
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import select

from jobs import deliveries
from jobs.database import Database, now
from jobs.locations import Location
from jobs.records import JobRecord, WebhookDeliveryRecord
from jobs.states import DeliveryState
from tests import pictures
from tests.factories import make_webhook
from tests.receivers import receiving
from tests.system.conftest import System

pytestmark = pytest.mark.system

ALLOW = {"RESTYLE_WEBHOOK_ALLOW_PRIVATE": "true"}


def eventually(true: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 90
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.1)


def let_time_pass(database: Database, seconds: float) -> None:
    """Make every message that waits due so much sooner."""
    with database.transaction() as session:
        pending = select(WebhookDeliveryRecord).where(WebhookDeliveryRecord.state == DeliveryState.PENDING)
        for delivery in session.scalars(pending):
            delivery.due_at -= datetime.timedelta(seconds=seconds)


def test_a_worker_tells_a_webhook_of_a_job_also_after_another_was_killed(system: System) -> None:
    for number in range(3):
        system.put(f"{number}.jpg", pictures.jpeg(number))
    database = Database(system.settings.database_url)
    with receiving() as receiver:
        with database.transaction() as session:
            webhook = make_webhook(session, receiver.url)
        system.start_worker(**ALLOW)
        request = {"recipe": {"model": "unchanged"}, "source": {"type": "prefix", "url": system.catalogue_url}}
        job_id = system.api.enqueue(request)
        eventually(lambda: len(receiver.accepted) >= 1, "the first message")
        for worker in system.workers:
            worker.kill()
        let_time_pass(database, deliveries.LEASE_SECONDS)  # what the dead one had claimed would wait for so long
        system.start_worker(**ALLOW)
        kinds = lambda: [message.told["type"] for message in receiver.accepted]  # noqa: E731
        eventually(lambda: "job.ended" in kinds(), "the last message")
    unique = list(dict.fromkeys((message.id, message.told["type"]) for message in receiver.accepted))
    assert (unique[0][1], unique[-1][1]) == ("job.enqueued", "job.ended")
    assert all(message.verified_by(webhook.secrets[0]) for message in receiver.received)
    assert {message.told["data"]["job_id"] for message in receiver.received} == {job_id}
    with database.transaction() as session:
        told = session.scalars(select(WebhookDeliveryRecord)).all()
        for delivery in told[1:]:
            delivery.state, delivery.ended_at = DeliveryState.DELIVERED, now(session) - datetime.timedelta(days=31)

    def kept() -> list[uuid.UUID]:
        with database.reading() as session:
            return list(session.scalars(select(WebhookDeliveryRecord.id)))

    eventually(lambda: kept() == [told[0].id], "messages of a month ago to go, though their job is kept for ever")
    [part] = system.api.client.get(f"/v1/jobs/{job_id}/results").json()["parts"]
    assert hashlib.sha256(system.api.client.get(part["url"]).content).hexdigest() == part["sha256"]
    database.close()


def test_a_worker_drops_a_job_past_its_retention_with_its_outputs(system: System) -> None:
    for number in range(3):
        system.put(f"{number}.jpg", pictures.jpeg(number))
    system.start_worker()
    job_id = system.api.enqueue(
        {
            "recipe": {"model": "unchanged"},
            "source": {"type": "prefix", "url": system.catalogue_url},
            "retention": {"days": 1, "outputs": "delete"},
        }
    )
    job = system.api.wait_until_ended(job_id)
    database = Database(system.settings.database_url)
    output = Location.parse(job["output_url"])
    storage = system.storages.at(output)
    assert len(list(storage.list(output.key))) == 3 + 5
    with database.transaction() as session:
        record = session.get_one(JobRecord, uuid.UUID(job_id))
        assert record.expires_at is not None
        record.expires_at -= datetime.timedelta(days=2)

    def gone() -> bool:
        with database.reading() as session:
            return session.get(JobRecord, record.id) is None

    eventually(gone, "the job's row")
    assert list(storage.list(output.key)) == []
    database.close()
