"""R12, R13: pictures that kill their workers, and jobs that are cancelled at any moment."""

from __future__ import annotations

import math
import random

import pytest

from jobs.states import ItemState
from tests.chaos.fleet import Fleet
from tests.chaos.ground import DOSE, Ground

pytestmark = pytest.mark.chaos

SHARD_ITEMS = 128


@pytest.mark.timeout(400)
def test_r12_pictures_that_kill_their_worker_fail_alone(ground: Ground, fleet: Fleet, chance: random.Random) -> None:
    items = SHARD_ITEMS * DOSE(2, 100)
    poison = tuple(
        (first + chance.randrange(SHARD_ITEMS), chance.choice(("segfault", "memory")))
        for first in range(0, items, 2 * SHARD_ITEMS)
    )
    job_id = ground.enqueue(ground.catalogue(f"poison-{chance.random()}", items, poison=poison))
    fleet.start(2)
    while ground.api.job(job_id)["state"] != "ended":
        fleet.wait_for_end_of_one(lambda: bool(ground.api.job(job_id)["state"] == "ended"))
        fleet.start(2 - len(fleet.living))
    counts = ground.settle_up(fleet, job_id)
    assert counts == {ItemState.SUCCEEDED: items - len(poison), ItemState.FAILED: len(poison)}
    failed = {item["item_no"]: item["error"]["code"] for item in ground.api.items(job_id, state="failed")}
    assert failed == dict.fromkeys((number for number, _ in poison), "worker_crashed")
    deaths = fleet.count("poisoned", job=job_id)
    assert deaths <= len(poison) * (math.ceil(math.log2(SHARD_ITEMS)) + 2)


def test_r12_a_picture_that_hangs_fails_alone_as_out_of_time(postgres_ground: Ground, chance: random.Random) -> None:
    ground, fleet = postgres_ground, postgres_ground.fleet()
    poison = chance.randrange(SHARD_ITEMS)
    source = ground.catalogue(f"hang-{chance.random()}", SHARD_ITEMS, poison=((poison, "hang"),))
    job_id = ground.enqueue(source)
    try:
        while ground.api.job(job_id)["state"] != "ended":
            fleet.start(1 - len(fleet.living), RESTYLE_ITEM_SECONDS="5")
            fleet.wait_for_end_of_one(lambda: bool(ground.api.job(job_id)["state"] == "ended"))
        counts = ground.settle_up(fleet, job_id)
    finally:
        fleet.kill()
    assert counts == {ItemState.SUCCEEDED: SHARD_ITEMS - 1, ItemState.FAILED: 1}
    [failed] = ground.api.items(job_id, state="failed")
    assert (failed["item_no"], failed["error"]["code"]) == (poison, "deadline")


def test_r13_jobs_cancelled_at_any_moment_add_up_and_nothing_is_recorded_after_the_answer(
    ground: Ground, fleet: Fleet, chance: random.Random
) -> None:
    items = 256
    source = ground.catalogue("calm-256", items)
    fleet.start(4, CHAOS_ITEM_SECONDS="0.01")
    ended = []
    for _ in range(DOSE(6, 1_000)):
        job_id = ground.enqueue(source)
        ground.wait_for_settled(job_id, chance.randrange(items))
        answer = ground.api.client.post(f"/v1/jobs/{job_id}/cancel")
        assert answer.status_code in {200, 202}, answer.text
        counts = ground.settle_up(fleet, job_id)
        assert counts[ItemState.SUCCEEDED] + counts[ItemState.CANCELLED] == items
        job = ground.api.job(job_id)
        assert job["outcome"] == ("cancelled" if answer.status_code == 202 else "succeeded")
        if answer.status_code == 202:
            answered = answer.json()["counts"]["succeeded"]
            assert counts[ItemState.SUCCEEDED] == answered, "something was recorded after the answer"
        ended.append(job)
    assert any(job["counts"]["cancelled"] for job in ended), "every cancel came too late"
    assert [ground.api.job(job["id"]) for job in ended] == ended, "something was recorded after the end"
    assert len(fleet.living) == 4
