"""R17: tenants with much and with little, on real workers. Who brings little does not wait for who brought much."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from jobs.records import ApiKeyRecord
from jobs.states import ItemState
from jobs.tenants import add_key, add_tenant
from tests.chaos.fleet import Fleet
from tests.chaos.ground import DOSE, Ground
from tests.chaos.rates import seconds_for

pytestmark = pytest.mark.chaos

SHARD_ITEMS = 128
LARGE_ITEMS = 8 * SHARD_ITEMS
SMALL_ITEMS = 100
TENANTS = 4
WORKERS = 2
IN_FLIGHT = 2  # shards of a worker at once: what was claimed before somebody came
ITEM_SECONDS = 0.005
SLOWLY = {"CHAOS_ITEM_SECONDS": str(ITEM_SECONDS)}


@pytest.fixture
def ground(postgres_ground: Ground) -> Ground:
    """Who is next is decided by the same statements on both databases: see tests/jobs/test_claims.py."""
    return postgres_ground


@pytest.fixture
def keys(ground: Ground) -> Iterator[list[str]]:
    """Keys of four tenants, of a ground that other tests share: afterwards it knows of no tenants again."""
    with ground.database.transaction() as session:
        names = [f"t{uuid.uuid4().hex[:8]}" for _ in range(TENANTS)]
        for name in names:
            add_tenant(session, name)
        made = [add_key(session, name) for name in names]
    yield made
    ground.api.client.headers.pop("Authorization", None)
    with ground.database.transaction() as session:
        session.execute(delete(ApiKeyRecord))


def speak(ground: Ground, key: str) -> None:
    """Let what is asked of the API from now on be asked by a tenant."""
    ground.api.client.headers["Authorization"] = f"Bearer {key}"


def test_r17_a_small_job_does_not_wait_for_a_large_one_of_another_tenant(
    ground: Ground, fleet: Fleet, keys: list[str]
) -> None:
    large, small = ground.catalogue("calm", LARGE_ITEMS), ground.catalogue("calm-100", SMALL_ITEMS)
    other, own = keys[:2]
    fleet.start(WORKERS, **SLOWLY)
    speak(ground, own)
    alone = [seconds_for(ground, fleet, small, SMALL_ITEMS) for _ in range(DOSE(3, 20))][-1]
    speak(ground, other)
    jobs = [ground.enqueue(large) for _ in range(DOSE(2, 100))]
    fleet.wait_for("started", WORKERS * IN_FLIGHT * SHARD_ITEMS // 2, job=jobs[0])
    speak(ground, own)
    beside = sorted(seconds_for(ground, fleet, small, SMALL_ITEMS) for _ in range(DOSE(1, 40)))
    done = sum(fleet.count("written", job=job_id) for job_id in jobs)
    speak(ground, other)
    for job_id in jobs:
        assert ground.api.client.post(f"/v1/jobs/{job_id}/cancel").is_success
        assert ground.settle_up(fleet, job_id).total() == LARGE_ITEMS
    p95 = beside[int(len(beside) * 0.95)]
    claimed_before = IN_FLIGHT * SHARD_ITEMS * ITEM_SECONDS
    print(f"100 items beside {len(jobs) * LARGE_ITEMS} took {p95:.1f} s, alone {alone:.1f} s")
    assert done < len(jobs) * LARGE_ITEMS, "the small job had to wait for all of the large ones"
    if DOSE.long:
        assert p95 <= 2 * alone + 2 * claimed_before


def test_r17_four_tenants_with_ever_smaller_jobs_get_equal_shares(
    ground: Ground, fleet: Fleet, keys: list[str]
) -> None:
    """Sizes follow Zipf's law. As long as each has something to do, Jain's index of what each was given is near 1."""
    jobs: dict[str, int] = {}
    for rank, key in enumerate(keys, start=1):
        items = LARGE_ITEMS // (1 if DOSE.long else rank)
        source = ground.catalogue(f"calm-{items}", items)
        speak(ground, key)
        for _ in range(DOSE(1, 12 // rank)):
            jobs[ground.enqueue(source, require_confirmation=True)] = rank
    begin_together(ground, keys, jobs)
    fleet.start(WORKERS, **SLOWLY)
    for job_id, rank in jobs.items():
        speak(ground, keys[rank - 1])
        assert ground.settle_up(fleet, job_id).keys() == {ItemState.SUCCEEDED}
    claimed = [jobs[fact["job"]] for fact in fleet.facts("claimed")]
    while_all_wait = claimed[: TENANTS * claimed.count(TENANTS)]
    shares = Counter(while_all_wait)
    index = sum(shares.values()) ** 2 / (TENANTS * sum(count**2 for count in shares.values()))
    print(f"shards of {len(jobs)} jobs while all had some waiting: {dict(shares)}, Jain's index {index:.3f}")
    assert index >= (0.95 if DOSE.long else 0.85)


def begin_together(ground: Ground, keys: list[str], jobs: dict[str, int]) -> None:
    """Let every job wait for workers, with its plan complete."""
    planner = ground.fleet()
    planner.start()
    for job_id, rank in jobs.items():
        speak(ground, keys[rank - 1])
        ground.api.wait(job_id, lambda job: job["state"] == "paused" and job["planned"])
    planner.kill()
    for job_id, rank in jobs.items():
        speak(ground, keys[rank - 1])
        assert ground.api.client.post(f"/v1/jobs/{job_id}/resume").is_success
