"""How fast a fleet is under a fault, beside what it is without, in one test on one machine."""

from __future__ import annotations

import time

from jobs.states import ItemState
from tests.chaos.fleet import Fleet
from tests.chaos.ground import DOSE, Ground


def seconds_for(ground: Ground, fleet: Fleet, source_url: str, items: int, *, jobs: int = 1) -> float:
    """Run jobs, check each, and return the seconds from the first request to the last result."""
    asked = time.monotonic_ns()
    enqueued = [ground.enqueue(source_url) for _ in range(jobs)]
    for job_id in enqueued:
        assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: items}
    return (max(last_settled(fleet, job_id) for job_id in enqueued) - asked) / 1e9


def last_settled(fleet: Fleet, job_id: str) -> int:
    """Return when the last result of a job was recorded, in nanoseconds of the facts' clock."""
    return max(fact["at"] for fact in fleet.facts("settled", job=job_id))


def calm_seconds_for(ground: Ground, fleet: Fleet, source_url: str, items: int, *, jobs: int = 1) -> float:
    """As above, for workers that have run something already: the first batch of each loads the model."""
    seconds_for(ground, fleet, ground.catalogue("calm-256", 256), 256)
    return seconds_for(ground, fleet, source_url, items, jobs=jobs)


def check_rate(what: str, calm_seconds: float, seconds: float, *, least: float) -> None:
    """Print the rate under a fault as a share of the calm one. The long dose fails below `least`; a short run tells
    too little for that on a machine that does much else.
    """
    share = calm_seconds / seconds
    print(f"{what}: {share:.2f} of the calm rate ({seconds:.1f} s instead of {calm_seconds:.1f} s)")
    if DOSE.long:
        assert share >= least
