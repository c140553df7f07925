"""Two tenants on one real system: keys over HTTP, places while planning, shares while running. And a deadline."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys

import pytest

from tests import pictures
from tests.system.conftest import System
from tests.system.test_main_path import fill, unchanged

pytestmark = pytest.mark.system

SHARD = 128  # items, as planned
LARGE, SMALL = 8, 1  # shards
IN_FLIGHT = 2  # shards of a worker at once: claims that were under way when the second job came


def administer(system: System, *arguments: str) -> str:
    """Run the command that manages tenants; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "jobs", *arguments],
        env=system.settings.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def speak_for(system: System, key: str) -> None:
    system.api.client.headers["Authorization"] = f"Bearer {key}"


def enqueue(system: System, shards: int) -> str:
    """Enqueue a job of so many full shards that all read the same few small pictures."""
    rows = [f"P{number},{number % 8}.png" for number in range(shards * SHARD)]
    url = system.put(f"{shards}.csv", "\n".join(["product_id,key", *rows]).encode())
    return system.api.enqueue(unchanged(system, source={"type": "manifest", "url": url}))


def test_a_newcomers_job_gets_every_other_shard_and_nobody_sees_anothers(embedded: System) -> None:
    system = embedded
    for number in range(8):
        system.put(f"{number}.png", pictures.png(number, width=16, height=16))
    keys = {}
    for name in ("acme", "other"):
        administer(system, "tenants", "add", name)
        keys[name] = administer(system, "keys", "add", name)
    assert system.api.client.get("/v1/jobs").status_code == 401
    worker = system.start_worker()

    speak_for(system, keys["acme"])
    large = enqueue(system, LARGE)
    system.api.wait(large, lambda job: job["counts"]["succeeded"] > 0)
    speak_for(system, keys["other"])
    small = enqueue(system, SMALL)
    job = system.api.wait_until_ended(small)
    assert job["outcome"] == "succeeded", job
    assert system.api.client.get(f"/v1/jobs/{large}").status_code == 404

    events = [json.loads(line) for line in worker.log().splitlines() if line.startswith("{")]
    came = next(at for at, event in enumerate(events) if event["event"] == "job_planned" and event["job_id"] == small)
    claimed = [event["job_id"] for event in events[came:] if event["event"] == "shard_claimed"]
    last = max(at for at, job_id in enumerate(claimed) if job_id == small)
    assert claimed[: last + 1].count(large) <= SMALL + IN_FLIGHT
    speak_for(system, keys["acme"])
    assert system.api.wait_until_ended(large)["counts"]["succeeded"] == LARGE * SHARD


def test_a_job_that_reaches_its_deadline_ends_as_expired_with_every_item_accounted_for(system: System) -> None:
    fill(system, 20)
    system.start_worker()
    deadline = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=5)
    # Nobody confirms it, so that nothing can settle before.
    job_id = system.api.enqueue(unchanged(system, deadline_at=deadline.isoformat(), require_confirmation=True))
    job = system.api.wait_until_ended(job_id)
    assert job["outcome"] == "expired", job
    assert job["counts"]["cancelled"] == job["counts"]["total"]
