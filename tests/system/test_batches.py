"""The same picture whatever its batch, and memory that does not grow with the job, with real workers."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from jobs.cards import CardShelf
from tests import pictures
from tests.system.conftest import System

ITEMS = 24
SMALL, LARGE = 100, 500  # pictures of the two jobs whose memory is compared
MEMORY_MB = 256
CASCADE = "reference-grade then monge-kantorovich then reinhard"
SIZES = ((96, 64), (120, 60), (128, 64), (70, 128), (90, 100), (64, 64))  # several to a bucket, several buckets


def fill(system: System) -> None:
    """Put pictures in two orders of names, and manifests of them with masks: the same pictures meet other company."""
    rows: dict[str, list[dict[str, str]]] = {"one": [], "two": []}
    for number in range(ITEMS):
        width, height = SIZES[number % len(SIZES)]
        data = pictures.jpeg(number, width=width, height=height)
        hole = np.zeros((height, width, 3), np.uint8)
        hole[10:30, 5 : 20 + number] = 255
        mask = system.put(f"masks/{number}.png", pictures.encoded(hole, "PNG"))
        for folder, name in (("one", f"{number:02d}"), ("two", f"{(number * 7) % ITEMS:02d}-{number}")):
            rows[folder].append({"key": system.put(f"{folder}/{name}.jpg", data), "mask_key": mask})
    for folder, lines in rows.items():
        lines.sort(key=lambda row: row["key"])
        system.put(f"{folder}.jsonl", "".join(json.dumps(row) + "\n" for row in lines).encode())


def digests(system: System, name: str, folder: str) -> dict[str, str]:
    """Run a job of one model, or of several, and return the digest of each picture's output."""
    cards = [CardShelf().get(each) for each in name.split(" then ")]
    first, *then = (
        {"model": card.name, "style": "dusk" if card.needs_style else None}
        | ({"on": "all"} if card.operation == "restyle" else {})
        for card in cards
    )
    source = {"type": "prefix", "url": system.catalogue_url + folder}
    if cards[0].operation == "inpaint":
        source = {"type": "manifest", "url": f"{system.catalogue_url}{folder.rstrip('/')}.jsonl"}
    request: dict[str, Any] = {
        "recipe": first | {"operation": cards[0].operation, "format": "png", "then": then},
        "source": source,
    }
    job = system.api.wait_until_ended(system.api.enqueue(request))
    assert job["counts"]["succeeded"] == ITEMS, job
    return {
        re.findall(r"\d+", item["source_url"])[-1].lstrip("0"): item["sha256"] for item in system.api.items(job["id"])
    }


def test_a_pictures_bytes_follow_from_it_alone_whatever_its_batch_its_company_and_its_worker(embedded: System) -> None:
    fill(embedded)
    embedded.api.add_style("dusk", pictures.jpeg(1000, width=200, height=150))
    models = [card.name for card in CardShelf().cards.values() if card.operation not in ("describe", "generate")]
    found: dict[str, list[dict[str, str]]] = {name: [] for name in (*models, CASCADE)}
    for size, folder in (("1", "one/"), ("3", "two/"), ("8", "one/")):
        worker = embedded.start_worker(RESTYLE_BATCH_SIZE=size)
        for name, runs in found.items():
            runs.append(digests(embedded, name, folder))
        worker.kill()
    for name, runs in found.items():
        assert len(runs[0]) == ITEMS
        assert all(run == runs[0] for run in runs), f"the bytes of {name} depend on the batch"


def test_a_job_five_times_as_long_takes_no_more_memory(embedded: System) -> None:
    drawn = [pictures.jpeg(number, width=640, height=800) for number in range(10)]
    for number in range(LARGE):
        data = drawn[number % len(drawn)]
        embedded.put(f"large/{number:03d}.jpg", data)
        if number < SMALL:
            embedded.put(f"small/{number:03d}.jpg", data)
    worker = embedded.start_worker(RESTYLE_MEMORY_MB=str(MEMORY_MB))
    peaks = []
    for folder, count in (("small/", SMALL), ("large/", LARGE)):
        request = {
            "recipe": {"model": "unchanged", "format": "jpeg"},
            "source": {"type": "prefix", "url": embedded.catalogue_url + folder},
        }
        job = embedded.api.wait_until_ended(embedded.api.enqueue(request))
        assert job["counts"]["succeeded"] == count, job
        peaks.append(worker.peak_mb())
    # What the allocator keeps for reuse still grows a little; one forgotten copy of each picture would be 600 MB.
    assert peaks[1] < peaks[0] + MEMORY_MB / 2, f"most memory after {SMALL} and after {LARGE} pictures: {peaks} MB"
