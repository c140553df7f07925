"""R5, R6: the broker carries doorbells only, so whatever becomes of it costs latency only."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Iterator

import pytest
import redis

from jobs.doorbell import Doorbell
from jobs.states import ItemState
from tests.chaos.fleet import Fleet
from tests.chaos.ground import DOSE, Ground
from tests.chaos.rates import calm_seconds_for, check_rate, last_settled, seconds_for

pytestmark = pytest.mark.chaos

ITEMS = 256
SLOWLY = {"CHAOS_ITEM_SECONDS": "0.01"}
YESTERDAY = "2020-01-01T00:00:00+00:00"


def test_r5_a_broker_that_is_killed_and_comes_back_empty_costs_no_item(postgres_ground: Ground) -> None:
    ground, fleet = postgres_ground, postgres_ground.fleet()
    source = ground.catalogue("calm-256", ITEMS)
    fleet.start(2, **SLOWLY)
    calm = calm_seconds_for(ground, fleet, source, ITEMS)
    jobs = [ground.enqueue(source)]
    for _ in range(DOSE(3, 100)):
        ground.wait_until_begun(fleet, 20, jobs, source)
        ground.broker.kill()
        ground.broker.start()
    for job_id in jobs:
        assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: ITEMS}
    after = seconds_for(ground, fleet, source, ITEMS)
    check_rate("after the broker was killed again and again", calm, after, least=0.6)
    assert len(fleet.living) == 2
    fleet.kill()


def test_r5_without_any_broker_a_job_runs_from_its_first_item_to_its_last(ground: Ground, fleet: Fleet) -> None:
    source = ground.catalogue("calm-256", ITEMS)
    fleet.start(2, **SLOWLY)
    calm = calm_seconds_for(ground, fleet, source, ITEMS, jobs=DOSE(1, 20))
    fleet.kill()
    ground.broker.kill()
    try:
        fleet.start(2, **SLOWLY)
        without = calm_seconds_for(ground, fleet, source, ITEMS, jobs=DOSE(1, 20))
    finally:
        ground.broker.start()
    check_rate("without a broker", calm, without, least=0.6)


@contextlib.contextmanager
def valkey(ground: Ground) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(ground.broker.socket_path)) as client:
        yield client


def doorbells(ground: Ground, client: redis.Redis) -> list[bytes]:
    """Return real messages, as the broker keeps them, half of them from long ago."""
    doorbell = Doorbell(ground.settings.broker_url)
    for bell in ("work", "plan"):
        assert doorbell.ring(bell, "nobody-listens", times=5)  # type: ignore[arg-type]
    doorbell.close()
    fresh = client.lrange("nobody-listens", 0, -1)
    assert isinstance(fresh, list)
    assert len(fresh) == 10
    client.delete("nobody-listens")
    old = []
    for message in fresh:
        body = json.loads(message)
        body["headers"]["expires"] = YESTERDAY
        old.append(json.dumps(body).encode())
    return fresh + old


def test_r6_doorbells_repeated_lost_reordered_and_from_yesterday_change_no_result(
    ground: Ground, fleet: Fleet, chance: random.Random
) -> None:
    source = ground.catalogue("calm-256", ITEMS)
    fleet.start(2, **SLOWLY)
    calm = calm_seconds_for(ground, fleet, source, ITEMS)
    asked = time.monotonic_ns()
    job_id = ground.enqueue(source)
    with valkey(ground) as client:
        messages = doorbells(ground, client)
        while ground.api.job(job_id)["state"] != "ended":
            flood = messages * 10
            chance.shuffle(flood)
            client.lpush("gpu", *flood)
            if chance.random() < 0.5:
                client.delete("gpu")
            fleet.wait_for("started", min(fleet.count("started", job=job_id) + 10, ITEMS), job=job_id)
        client.delete("gpu")
    assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: ITEMS}
    assert fleet.count("started", job=job_id) == ITEMS, "a doorbell made somebody begin an item again"
    seconds = (last_settled(fleet, job_id) - asked) / 1e9
    check_rate("under a storm of doorbells", calm, seconds, least=0.5)
