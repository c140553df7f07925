"""R19: receivers of webhooks that are down, slow, broken, or lead elsewhere. Each message arrives, in its order."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select

from jobs.records import EventRecord, WebhookDeliveryRecord, WebhookRecord
from jobs.states import DeliveryState, ItemState
from tests.chaos.fleet import Fleet, wait_until
from tests.chaos.ground import DOSE, Ground
from tests.chaos.proxy import Proxy
from tests.factories import make_webhook
from tests.receivers import Received, Receiver, receiving

pytestmark = pytest.mark.chaos

ITEMS = 16
# The first pause of five seconds becomes one of a tenth; what they are is tested with the deliveries.
ENVIRONMENT = {"RESTYLE_WEBHOOK_ALLOW_PRIVATE": "true", "CHAOS_WEBHOOK_PAUSES": "0.02"}
SLOW_SECONDS = 0.3


@contextlib.contextmanager
def webhook(ground: Ground, url: str) -> Iterator[WebhookRecord]:
    """Let an address hear of every job while the block runs."""
    with ground.database.transaction() as session:
        made = make_webhook(session, url)
    try:
        yield made
    finally:
        assert ground.api.client.delete(f"/v1/webhooks/{made.id}").is_success


def failing_first(times: int, status: int) -> Callable[[Received], int]:
    """Refuse each message so many times."""
    seen: Counter[str] = Counter()

    def answer(message: Received) -> int:
        seen[message.id] += 1
        return status if seen[message.id] <= times else 204

    return answer


def slow(_message: Received) -> int:
    time.sleep(SLOW_SECONDS)
    return 204


def test_r19_every_message_reaches_receivers_that_are_down_slow_broken_or_lead_inside(
    ground: Ground, fleet: Fleet
) -> None:
    source = ground.catalogue("calm-16", ITEMS)
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(receiving())
        names = ("down", "slow", "broken", "leading inside")
        receivers = {name: stack.enter_context(receiving()) for name in names}
        receivers["slow"].answer = slow
        receivers["broken"].answer = failing_first(1, 500)
        receivers["leading inside"].answer = failing_first(1, 307)
        receivers["leading inside"].location = inside.url
        proxy = stack.enter_context(Proxy(("127.0.0.1", int(receivers["down"].url.split(":")[2].split("/")[0]))))
        proxy.cut()
        urls = {name: receiver.url for name, receiver in receivers.items()}
        urls["down"] = f"http://{proxy.host_and_port}/hook"
        hooks = {name: stack.enter_context(webhook(ground, url)) for name, url in urls.items()}

        fleet.start(2, **ENVIRONMENT)
        jobs = [ground.enqueue(source) for _ in range(DOSE(2, 50))]
        for job_id in jobs:
            assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: ITEMS}
        assert not receivers["down"].received
        proxy.mend()
        for name, hook in hooks.items():
            wait_until(lambda: delivered(ground, hook), f"{name}: {fleet.workers}")  # noqa: B023
            check_messages(ground, hook, receivers[name], jobs)
        assert not inside.received, "a redirect was followed"
    assert len(fleet.living) == 2


def delivered(ground: Ground, hook: WebhookRecord) -> bool:
    with ground.database.reading() as session:
        states = session.scalars(
            select(WebhookDeliveryRecord.state).where(WebhookDeliveryRecord.webhook_id == hook.id)
        ).all()
    return bool(states) and set(states) == {DeliveryState.DELIVERED}


def check_messages(ground: Ground, hook: WebhookRecord, receiver: Receiver, jobs: list[str]) -> None:
    """Each event of each job was accepted, in the order of its job, under one id with one body however often."""
    bodies: dict[str, bytes] = {}
    for message in receiver.received:
        assert message.verified_by(hook.secrets[0])
        assert bodies.setdefault(message.id, message.body) == message.body
    for job_id in jobs:
        with ground.database.reading() as session:
            of_job = select(EventRecord.kind).where(EventRecord.job_id == uuid.UUID(job_id))
            kinds = list(session.scalars(of_job.order_by(EventRecord.id)))
        accepted = [message for message in receiver.accepted if message.told["data"]["job_id"] == job_id]
        first = list({message.id: message.told["type"] for message in accepted}.values())
        assert first == kinds


def test_r19_no_address_inside_is_called_whatever_the_table_says(ground: Ground, fleet: Fleet) -> None:
    """An address is checked again at every call: what its name leads to may have changed since it was added."""
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(receiving())
        urls = [inside.url, inside.url.replace("http:", "https:"), "https://169.254.169.254/latest/meta-data/"]
        hooks = [stack.enter_context(webhook(ground, url)) for url in urls]
        fleet.start(1)
        job_id = ground.enqueue(ground.catalogue("calm-16", ITEMS))
        assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: ITEMS}
        for hook in hooks:
            wait_until(lambda: bool(refusals(ground, hook)), f"{hook.url} to be refused")  # noqa: B023
            assert all("https://" in error or "not public" in error for error in refusals(ground, hook))
        assert not inside.received


def refusals(ground: Ground, hook: WebhookRecord) -> list[str]:
    with ground.database.reading() as session:
        logs = session.scalars(select(WebhookDeliveryRecord.log).where(WebhookDeliveryRecord.webhook_id == hook.id))
        return [entry["error"] for log in logs for entry in log]
