"""R11: workers whose clocks are wrong. The database's clock alone decides, so nothing changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from jobs.states import ItemState
from tests.chaos.fleet import Fleet
from tests.chaos.ground import Ground
from tests.system.processes import Worker

pytestmark = pytest.mark.chaos

ITEMS = 256
LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
)


def test_r11_workers_whose_clocks_are_an_hour_off_change_nothing(ground: Ground, fleet: Fleet) -> None:
    """One is early, one is late, one is right: nobody takes what is another's, and nobody waits longer."""
    for clock in ("3600", "-3600", "0"):
        fleet.start(1, CHAOS_CLOCK=clock, CHAOS_ITEM_SECONDS="0.01")
    job_id = ground.enqueue(ground.catalogue("calm-256", ITEMS))
    assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: ITEMS}
    assert fleet.count("started", job=job_id) == ITEMS, "somebody took a lease that had not expired"
    for worker, hours in zip(fleet.workers, (1, -1, 0), strict=True):
        assert worker.clock_hours() == hours, "the clock was not wrong"


def test_r11_a_clock_that_libfaketime_moves_changes_nothing(ground: Ground) -> None:
    """As above with the C library's clock wrong as well, for the whole process."""
    found = [path for path in LIBRARIES if Path(path).exists()]
    if not found:
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")
    fake = {"LD_PRELOAD": found[0], "FAKETIME": "-1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    settings = dataclasses.replace(ground.settings, extra={**ground.settings.extra, **fake})
    worker = Worker(ground.parent, settings)
    worker.start()
    try:
        job_id = ground.enqueue(ground.catalogue("calm-256", ITEMS))
        assert ground.api.wait_until_ended(job_id)["counts"]["succeeded"] == ITEMS
        assert {item["attempt"] for item in ground.api.items(job_id)} == {1}
    finally:
        worker.kill()
