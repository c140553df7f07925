"""What dies in the middle of a job, and what becomes of the job. `tests/chaos` has each on both databases."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

from tests import pictures
from tests.system.conftest import System
from tests.system.test_main_path import LIMITS, read, unchanged
from worker.images import decode

pytestmark = pytest.mark.system

ITEMS = 200
SIDE_PX = 480
# Results are recorded about once a second: on one thread, the fastest machine needs some seconds for all of them.
SLOWLY = {"RESTYLE_CODEC_THREADS": "1"}


def enqueue_200(system: System) -> str:
    """Start a job of 200 pictures that takes some seconds."""
    for number in range(ITEMS):
        system.put(f"{number:03d}.jpg", pictures.jpeg(number, width=SIDE_PX, height=SIDE_PX))
    return system.api.enqueue(unchanged(system))


def check_every_output(system: System, job_id: str) -> None:
    """Every item settled once, and every output is what its source makes it."""
    items = system.api.items(job_id)
    assert [item["item_no"] for item in items] == list(range(ITEMS))
    for item in items:
        assert item["state"] == "succeeded", item
        source = pictures.jpeg(item["item_no"], width=SIDE_PX, height=SIDE_PX)
        output = decode(read(system, item["output_url"]), LIMITS)
        assert np.array_equal(output.pixels, decode(source, LIMITS).pixels)


def test_a_killed_worker_loses_nothing_and_nothing_is_done_twice(system: System) -> None:
    worker = system.start_worker(**SLOWLY)
    job_id = enqueue_200(system)
    system.api.wait(job_id, lambda job: 5 <= job["counts"]["succeeded"] < ITEMS)
    worker.kill()
    counts = system.api.job(job_id)["counts"]
    assert counts["pending"] > 0, "the worker was too quick to be killed in the middle"
    system.start_worker()
    job = system.api.wait_until_ended(job_id)
    assert job["outcome"] == "succeeded", job
    check_every_output(system, job_id)


def test_a_broker_that_dies_and_comes_back_empty_costs_no_item(embedded: System) -> None:
    embedded.start_worker(**SLOWLY)
    job_id = enqueue_200(embedded)
    embedded.api.wait(job_id, lambda job: 5 <= job["counts"]["succeeded"] < ITEMS)
    embedded.broker.kill()
    embedded.broker.start()
    job = embedded.api.wait_until_ended(job_id)
    assert job["outcome"] == "succeeded", job
    check_every_output(embedded, job_id)


def test_a_job_needs_no_broker_at_all(embedded: System) -> None:
    embedded.broker.kill()
    embedded.start_worker()
    for number in range(10):
        embedded.put(f"{number}.jpg", pictures.jpeg(number))
    started = time.monotonic()
    job_id = embedded.api.enqueue(unchanged(embedded))
    assert time.monotonic() - started < 10, "a dead broker held the caller up"
    job = embedded.api.wait_until_ended(job_id)
    assert job["counts"]["succeeded"] == 10


def test_a_worker_asked_to_stop_settles_gives_back_and_burns_no_attempt(grown: System) -> None:
    worker = grown.start_worker(RESTYLE_LEASE_SECONDS="60", **SLOWLY)
    job_id = enqueue_200(grown)
    grown.api.wait(job_id, lambda job: 5 <= job["counts"]["succeeded"] < ITEMS)
    worker.stop()
    assert '"settled": true' in worker.log()
    stopped = grown.api.job(job_id)["counts"]["succeeded"]
    assert stopped < ITEMS, "the worker was too quick to be stopped in the middle"
    # With leases of a minute, the next worker can only go on because they were given back.
    grown.start_worker(RESTYLE_LEASE_SECONDS="60")
    job = grown.api.wait_until_ended(job_id)
    assert job["outcome"] == "succeeded"
    assert {item["attempt"] for item in grown.api.items(job_id)} == {1}
    check_every_output(grown, job_id)


def test_a_worker_that_sleeps_through_its_lease_records_nothing_afterwards(grown: System) -> None:
    zombie = grown.start_worker(**SLOWLY)
    job_id = enqueue_200(grown)
    grown.api.wait(job_id, lambda job: 5 <= job["counts"]["succeeded"] < ITEMS)
    zombie.send(signal.SIGSTOP)
    grown.start_worker()
    job = grown.api.wait_until_ended(job_id)
    zombie.send(signal.SIGCONT)
    assert job["outcome"] == "succeeded", job
    check_every_output(grown, job_id)
    zombie.wait_for_log('"lease_lost"', '"results_refused"')
    assert grown.api.job(job_id)["counts"] == job["counts"]


def test_a_killed_planner_is_followed_at_once_by_another_where_there_is_presence(grown: System) -> None:
    """With leases of five minutes, nobody could go on in time who waits for their end."""
    rows = 200_000
    patient = {"RESTYLE_LEASE_SECONDS": "300"}
    lines = "".join(f"P{number},{number}.jpg\n" for number in range(rows))
    manifest = grown.put("spring.csv", f"product_id,key\n{lines}".encode())
    planner = grown.start_worker(**patient)
    source = {"type": "manifest", "url": manifest, "on_bad_row": "fail"}
    job_id = grown.api.enqueue({"recipe": {"model": "unchanged"}, "source": source, "require_confirmation": True})
    grown.api.wait(job_id, lambda job: job["counts"]["total"] > 0)
    planner.send(signal.SIGSTOP)  # until there is another: it is not taken for dead meanwhile
    found = grown.api.job(job_id)
    assert not found["planned"], "the worker was too quick to be killed in the middle"
    other = grown.start_worker(**patient)
    planner.kill()
    job = grown.api.wait(job_id, lambda job: job["planned"])
    assert (job["state"], job["counts"]["total"]) == ("paused", rows)
    assert '"bell": "plan"' in other.log()
