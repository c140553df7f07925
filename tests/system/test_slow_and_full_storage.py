"""Storage that is full, or that crawls: the worker waits for it, and when it is well again nothing is missing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pictures
from tests.chaos.proxy import Proxy
from tests.system.conftest import System
from tests.system.test_main_path import unchanged

pytestmark = pytest.mark.system

ITEMS = 40
SIDE_PX = 256


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB where outputs go."""
    disk = tmp_path / "shop" / "out"
    disk.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here, which takes root: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_that_is_full_costs_no_item_once_there_is_room_again(embedded: System, small_disk: Path) -> None:
    for number in range(ITEMS):
        embedded.put(f"{number:02d}.jpg", pictures.jpeg(number, width=SIDE_PX, height=SIDE_PX))
    job_id = embedded.api.enqueue(unchanged(embedded, output_url=f"file://{small_disk}/"))
    worker = embedded.start_worker()
    embedded.api.wait(job_id, lambda job: "No space left on device" in worker.log())
    assert not [path for path in small_disk.iterdir() if path.suffix == ".png" and not whole(path)], "half a picture"
    job = embedded.api.job(job_id)
    assert job["counts"]["failed"] == 0
    assert job["counts"]["pending"] > 0
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    job = embedded.api.wait_until_ended(job_id)
    assert job["counts"]["succeeded"] == ITEMS, job
    assert len([path for path in small_disk.iterdir() if path.suffix == ".png" and whole(path)]) == ITEMS
    assert not [path for path in small_disk.rglob("*") if path.name.startswith(".")], (
        "something half-written lies about"
    )


def whole(path: Path) -> bool:
    return path.read_bytes().endswith(b"IEND\xaeB`\x82")


def test_an_s3_that_slows_to_a_crawl_and_recovers_costs_no_item_and_no_attempt(grown: System) -> None:
    for number in range(ITEMS):
        grown.put(f"{number:02d}.jpg", pictures.jpeg(number, width=SIDE_PX, height=SIDE_PX))
    host, _, port = grown.settings.extra["RESTYLE_S3_ENDPOINT_URL"].removeprefix("http://").partition(":")
    with Proxy((host, int(port))) as proxy:
        job_id = grown.api.enqueue(unchanged(grown))
        proxy.slow_down(1.0, 0.2, 0.0)
        worker = grown.start_worker(RESTYLE_S3_ENDPOINT_URL=f"http://{proxy.host_and_port}")
        grown.api.wait(job_id, lambda job: job["counts"]["succeeded"] > 0)
        assert grown.api.job(job_id)["counts"]["pending"] > 0
        proxy.mend()
        job = grown.api.wait_until_ended(job_id)
        assert job["counts"]["succeeded"] == ITEMS, job
        assert {item["attempt"] for item in grown.api.items(job_id)} == {1}
        assert "lease_lost" not in worker.log()
