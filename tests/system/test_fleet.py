"""Several real workers by one command: one is killed and comes back, the job ends, and all stop together."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests import pictures
from tests.restyle.watching import wait_until_gone
from tests.system.conftest import System
from tests.system.processes import Settings, Worker

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

READY_SECONDS = 180.0


class Fleet(Worker):
    """`restyle worker --devices cpu,cpu`."""

    name: ClassVar[str] = "fleet"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "restyle", "worker", "--devices", "cpu,cpu"]

    def probe(self) -> None:
        if self.log().count('"worker_ready"') < 2:
            raise ConnectionError("the workers have not said that they are ready")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(READY_SECONDS)

    def workers(self) -> set[int]:
        """The processes of its workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return {int(child) for child in children}


def start(system: System, tmp_path: Path, **extra: str) -> Fleet:
    settings = Settings(
        **{name: getattr(system.settings, name) for name in Settings.__dataclass_fields__ if name != "extra"},
        extra={**system.settings.extra, "RESTYLE_MEMORY_MB": "256", **extra},
    )
    fleet = Fleet(system.broker.folder.parent, settings)
    fleet.start()
    system.workers.append(fleet)
    return fleet


def enqueue(system: System, items: int) -> str:
    for number in range(items):
        system.put(f"{number:04}.png", pictures.png(number, width=64, height=64))
    source = {"type": "prefix", "url": system.catalogue_url}
    return system.api.enqueue({"recipe": {"model": "unchanged", "format": "png"}, "source": source})


def test_two_workers_share_a_job_one_is_killed_and_comes_back_and_all_stop_together(
    system: System, tmp_path: Path
) -> None:
    fleet = start(system, tmp_path, RESTYLE_DEVICE_HOUR_COST="3.6")
    first = fleet.workers()
    assert len(first) == 2
    job_id = enqueue(system, 600)
    system.api.wait(job_id, lambda job: job["counts"]["succeeded"] > 0)
    victim = min(first)
    os.kill(victim, signal.SIGKILL)
    fleet.wait_for_log("ended with exit code -9; again in")
    job = system.api.wait_until_ended(job_id)
    assert (job["outcome"], job["counts"]["succeeded"]) == ("succeeded", 600)
    deadline = time.monotonic() + READY_SECONDS
    while fleet.log().count('"worker_ready"') < 3:
        assert time.monotonic() < deadline, f"the killed worker never came back: {fleet!r}"
        time.sleep(0.05)
    second = fleet.workers()
    assert len(second) == 2
    assert len(second & first) == 1, "the other was left alone"
    fleet.send(signal.SIGTERM)
    assert fleet.wait() == 0
    assert all(wait_until_gone(pid) for pid in first | second)
    assert fleet.log().count('"worker_stopped"') == 2
    check_costs(system, job)


def check_costs(system: System, job: dict[str, Any]) -> None:
    """An hour costs 3.6, a second a thousandth: whoever did them, the items' costs add up to the job's."""
    items = system.api.items(job["id"])
    [digest] = {item["engine"] for item in items}
    assert re.fullmatch(r"[0-9a-f]{16}", digest)
    assert all(item["device_seconds"] > 0 for item in items)
    assert sum(item["device_seconds"] for item in items) == pytest.approx(job["device_seconds"])
    assert sum(item["cost"] for item in items) == pytest.approx(job["cost"], rel=1e-4)
    assert job["cost"] == pytest.approx(job["device_seconds"] / 1000, rel=1e-4)
    assert (job["cost_estimate"], job["device_seconds_estimate"]) == (job["cost"], job["device_seconds"])


def test_no_worker_outlives_a_supervisor_that_is_killed(embedded: System, tmp_path: Path) -> None:
    fleet = start(embedded, tmp_path)
    workers = fleet.workers()
    assert len(workers) == 2
    os.kill(fleet.pid, signal.SIGKILL)
    assert all(wait_until_gone(pid) for pid in workers)
