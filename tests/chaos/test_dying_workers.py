"""R1, R2, R3: workers that are killed, that die at the worst moment, that sleep through their lease."""

from __future__ import annotations

import random
import signal
import time

import pytest

from jobs.states import ItemState
from tests.chaos.fleet import Fact, Fleet, ForkedWorker, wait_until
from tests.chaos.ground import DOSE, Ground
from tests.chaos.witness import POINTS

pytestmark = pytest.mark.chaos

SLOWLY = {"CHAOS_ITEM_SECONDS": "0.01"}
IN_FLIGHT = 2 * 128  # items that a worker may have begun and not recorded: two shards


def test_r1_workers_killed_at_random_lose_nothing_and_do_nothing_twice(
    ground: Ground, fleet: Fleet, chance: random.Random
) -> None:
    kills, items = DOSE(12, 500), DOSE(1_024, 1_024)
    source = ground.catalogue("calm", items)
    fleet.start(3, **SLOWLY)
    jobs = [ground.enqueue(source)]
    for _ in range(kills):
        ground.wait_until_begun(fleet, chance.randrange(20, 80), jobs, source)
        chance.choice(fleet.living).kill()
        fleet.start(1, **SLOWLY)
    for job_id in jobs:
        assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: items}
    again = fleet.count("started") - items * len(jobs)
    pauses = recoveries(fleet)
    print(f"{kills} kills, {again} items begun again, {len(pauses)} rescues, slowest {max(pauses):.1f} s")
    assert again <= kills * IN_FLIGHT


def recoveries(fleet: Fleet) -> list[float]:
    """Return the seconds between the end of a worker and the next claim of each shard that it held."""
    dead = {worker.pid for worker in fleet.workers if not worker.running}
    last: dict[tuple[str, int], Fact] = {}
    lasting: dict[int, int] = {}
    seconds = []
    for fact in fleet.facts():
        if fact["event"] == "claimed":
            shard = (fact["job"], fact["shard"])
            before = last.get(shard)
            if before is not None and before["pid"] in dead and before["pid"] in lasting:
                seconds.append((fact["at"] - lasting[before["pid"]]) / 1e9)
            last[shard] = fact
        lasting[fact["pid"]] = fact["at"]
    return seconds


def test_r2_workers_that_die_at_the_worst_moments_lose_nothing(
    ground: Ground, fleet: Fleet, chance: random.Random
) -> None:
    items = 512
    source = ground.catalogue("calm-512", items)
    for _ in range(DOSE(1, 50)):
        job_id = ground.enqueue(source)
        while_it_runs = [point for point in POINTS if passages(point)]
        victims = [
            fleet.start(1, CHAOS_DIE_AT=point, CHAOS_DIE_ON=str(chance.randint(1, passages(point))), **SLOWLY)[0]
            for point in while_it_runs
        ]
        for victim in victims:
            assert victim.wait() == -signal.SIGKILL, victim
        for point in (point for point in POINTS if point not in while_it_runs):
            [victim] = fleet.start(1, CHAOS_DIE_AT=point)
            assert victim.wait() == -signal.SIGKILL, victim
        [successor] = fleet.start(1)
        assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: items}
        assert {fact["point"] for fact in fleet.facts("died")} == set(POINTS)
        successor.kill()


def test_r4_a_worker_asked_to_stop_in_any_stage_finishes_and_burns_no_attempt(
    ground: Ground, fleet: Fleet, chance: random.Random
) -> None:
    items, stages = 512, [point for point in POINTS if point.startswith(("picture", "batch", "model"))]
    assert len(stages) == 6
    job_id = ground.enqueue(ground.catalogue("calm-512", items))
    for stage in stages * DOSE(1, 30):
        passage = str(chance.randint(1, passages(stage)))
        [worker] = fleet.start(
            1, CHAOS_DIE_AT=stage, CHAOS_DIE_ON=passage, CHAOS_DIE_GENTLY="1", RESTYLE_LEASE_SECONDS="60", **SLOWLY
        )
        assert worker.wait() == 0, worker
        if ground.api.job(job_id)["state"] == "ended":
            ground.settle_up(fleet, job_id)
            job_id = ground.enqueue(ground.catalogue("calm-512", items))
    assert {fact["point"] for fact in fleet.facts("died")} == set(stages)
    fleet.start(1)
    assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: items}
    assert {item["attempt"] for item in ground.api.items(job_id)} == {1}, "a stop has burnt an attempt"


def passages(point: str) -> int:
    """Return how often a worker surely passes a point before the last item of the job settles; 0: only at the end."""
    if point.startswith("picture"):
        return 4
    if point in {"batch loaded", "model done"}:
        return 2
    return 1 if point.startswith(("claimed", "settled")) else 0


def test_r3_a_worker_that_sleeps_through_its_lease_is_refused(ground: Ground, fleet: Fleet) -> None:
    source = ground.catalogue("calm-160", 160)
    [zombie] = fleet.start(1, **SLOWLY)
    for _ in range(DOSE(2, 100)):
        job_id = ground.enqueue(source)
        fleet.wait_for("started", job=job_id, pid=zombie.pid)
        freeze(ground, zombie)
        [heir] = fleet.start(1, **SLOWLY)
        job = ground.wait_until_ended(fleet, job_id)
        zombie.send(signal.SIGCONT)
        wait_until(lambda: learned(zombie), f"{zombie} to learn that its lease is gone")  # noqa: B023
        assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: 160}
        assert ground.api.job(job_id) == job
        zombie.kill()
        zombie = heir


def freeze(ground: Ground, worker: ForkedWorker) -> None:
    """Stop a worker, but not inside a transaction on SQLite: nothing can take the file's lock from it there."""
    worker.freeze()
    while not ground.writable():
        worker.send(signal.SIGCONT)
        wait_until(ground.writable, f"{worker} to end its transaction")
        worker.freeze()


def learned(worker: ForkedWorker) -> bool:
    return any(worker.logged(event) for event in ("lease_lost", "results_refused"))


def test_r4_a_worker_asked_to_stop_gives_back_what_it_has_not_done(ground: Ground, fleet: Fleet) -> None:
    items = 512
    job_id = ground.enqueue(ground.catalogue("calm-512", items))
    seconds = []
    for _ in range(DOSE(4, 200)):
        [worker] = fleet.start(1, RESTYLE_LEASE_SECONDS="60", **SLOWLY)
        fleet.wait_for("started", 10, pid=worker.pid)
        asked = time.monotonic()
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0, worker
        seconds.append(time.monotonic() - asked)
    assert ground.api.job(job_id)["state"] == "running", "it was over before it was disturbed"
    fleet.start(1)
    assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: items}
    print(f"{len(seconds)} stops, slowest {max(seconds):.1f} s")
    assert {item["attempt"] for item in ground.api.items(job_id)} == {1}, "a stop has burnt an attempt"
