"""A job from end to end, through real processes: HTTP in, pictures out."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from jobs.locations import Location
from tests import pictures
from tests.system.conftest import System
from worker.images import PictureLimits, decode

pytestmark = pytest.mark.system

LIMITS = PictureLimits()


def read(system: System, url: str) -> bytes:
    """Read what a job wrote, as anyone with access to the storage would."""
    location = Location.parse(url)
    return system.storages.at(location).read(location.key, max_bytes=10**8)


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def fill(system: System, count: int) -> dict[str, bytes]:
    """Put a small catalogue in two folders; return its pictures by key."""
    catalogue = {
        f"{'shoes' if number % 2 else 'bags/sale'}/{number:03d}.jpg": pictures.jpeg(number) for number in range(count)
    }
    for key, data in catalogue.items():
        system.put(key, data)
    return catalogue


def unchanged(system: System, **changes: Any) -> dict[str, Any]:
    """A request whose right results are known: the decoded sources, as PNG."""
    return {
        "recipe": {"model": "unchanged", "format": "png"},
        "source": {"type": "prefix", "url": system.catalogue_url},
        **changes,
    }


def test_a_catalogue_is_restyled_from_end_to_end(system: System) -> None:
    catalogue = fill(system, 20)
    system.start_worker()
    system.api.add_style("dusk", pictures.jpeg(1000, width=200, height=150))
    job_id = system.api.enqueue(
        {
            "recipe": {"model": "reference-grade", "style": "dusk", "format": "webp", "parameters": {"strength": 0.8}},
            "source": {"type": "prefix", "url": system.catalogue_url},
        }
    )
    job = system.api.wait_until_ended(job_id)

    assert job["outcome"] == "succeeded", job
    assert job["counts"]["succeeded"] == job["counts"]["total"] == 20
    items = system.api.items(job_id)
    assert sorted(item["source_url"] for item in items) == sorted(system.catalogue_url + key for key in catalogue)
    for item in items:
        output = read(system, item["output_url"])
        assert hashlib.sha256(output).hexdigest() == item["sha256"]
        assert len(output) == item["bytes"]
        picture = decode(output, LIMITS)
        assert picture.source_format == "webp"
        assert (picture.width, picture.height) == (item["width"], item["height"]) == (96, 64)
        source = decode(catalogue[item["source_url"].removeprefix(system.catalogue_url)], LIMITS)
        assert not np.array_equal(picture.pixels, source.pixels)

    manifest = lines(read(system, job["files"]["manifest"]))
    assert [line["item"] for line in manifest] == list(range(20))
    assert {line["output_key"]: line["sha256"] for line in manifest} == {
        item["output_url"]: item["sha256"] for item in items
    }
    assert read(system, job["files"]["errors"]) == b""
    html = read(system, job["files"]["contact_sheet_html"])
    assert html.count(b"data:image/") >= 40
    assert b"http://" not in html
    assert b"https://" not in html
    assert read(system, job["files"]["contact_sheet_png"]).startswith(b"\x89PNG")


def test_output_keys_keep_the_folders_and_never_collide(system: System) -> None:
    for key, number in {"a/x.jpg": 1, "a/x.png": 2, "A/X.jpg": 3, "b/x.jpg": 4}.items():
        system.put(key, pictures.png(number))
    system.start_worker()
    job_id = system.api.enqueue(unchanged(system))
    job = system.api.wait_until_ended(job_id)
    items = system.api.items(job_id)
    outputs = [item["output_url"].removeprefix(job["output_url"]) for item in items]
    assert "b/x.png" in outputs
    assert len({output.casefold() for output in outputs}) == 4
    for item in items:
        source = decode(read(system, item["source_url"]), LIMITS)
        assert np.array_equal(decode(read(system, item["output_url"]), LIMITS).pixels, source.pixels)


def test_broken_files_cost_only_themselves(system: System) -> None:
    good = fill(system, 12)
    calm_job = system.api.enqueue(unchanged(system))
    system.start_worker()
    system.api.wait_until_ended(calm_job)
    calm = {item["source_url"]: item["sha256"] for item in system.api.items(calm_job)}

    whole = pictures.jpeg(5000, width=400, height=300)
    bad = {
        "bad/corrupt.jpg": (whole[: len(whole) // 2], {"truncated", "corrupt_image"}),
        "bad/bomb.png": (pictures.bomb_png(), {"too_many_pixels"}),
        "bad/empty.jpg": (b"", {"empty_object"}),
        "bad/text.jpg": (b"This is not a picture, whatever its name says.\n", {"not_an_image"}),
    }
    rows = [{"product_id": key, "key": key} for key in good]
    for key, (data, _codes) in bad.items():
        system.put(key, data)
        rows.append({"product_id": key, "key": key})
    rows.append({"product_id": "gone", "key": "bad/gone.jpg"})
    manifest_url = system.put("all.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in rows))

    job_id = system.api.enqueue(unchanged(system, source={"type": "manifest", "url": manifest_url}))
    job = system.api.wait_until_ended(job_id)
    assert job["outcome"] == "partial"
    assert (job["counts"]["succeeded"], job["counts"]["failed"]) == (12, 5)
    for item in system.api.items(job_id, state="succeeded"):
        assert item["sha256"] == calm[item["source_url"]]
    reasons = {item["product_id"]: item["error"]["code"] for item in system.api.items(job_id, state="failed")}
    assert reasons.pop("gone") == "object_missing"
    for key, (_data, codes) in bad.items():
        assert reasons[key] in codes

    # The errors file is the next job's manifest: mend one picture, and send what failed again.
    system.put("bad/empty.jpg", pictures.jpeg(6000))
    again = system.api.enqueue(unchanged(system, source={"type": "manifest", "url": errors_copy(system, job)}))
    second = system.api.wait_until_ended(again)
    assert (second["counts"]["succeeded"], second["counts"]["failed"]) == (1, 4)
    assert [item["product_id"] for item in system.api.items(again, state="succeeded")] == ["bad/empty.jpg"]


def errors_copy(system: System, job: dict[str, Any]) -> str:
    return system.put("errors.jsonl", read(system, job["files"]["errors"]))


def test_a_manifest_with_bad_rows_ends_before_anything_runs_and_names_them(system: System) -> None:
    fill(system, 3)
    manifest = "product_id,key,colour\nP1,shoes/001.jpg,red\nP2,,blue\nP3,../../etc/passwd,green\n"
    url = system.put("spring.csv", manifest.encode())
    system.start_worker()

    strict = system.api.enqueue(unchanged(system, source={"type": "manifest", "url": url}))
    job = system.api.wait_until_ended(strict)
    assert job["outcome"] == "failed"
    assert job["counts"]["succeeded"] == 0
    assert job["error"]["code"] == "bad_rows"
    assert [row["row_no"] for row in job["error"]["rows"]] == [3, 4]

    lenient = system.api.enqueue(unchanged(system, source={"type": "manifest", "url": url, "on_bad_row": "skip"}))
    job = system.api.wait_until_ended(lenient)
    assert (job["outcome"], job["counts"]["succeeded"], job["counts"]["bad_rows"]) == ("partial", 1, 2)
    notes = [line["bad_row"] for line in lines(read(system, job["files"]["errors"]))]
    assert [note["row_no"] for note in notes] == [3, 4]
    (item,) = system.api.items(lenient)
    assert item["attributes"] == {"colour": "red"}


def test_a_style_that_is_no_picture_ends_the_job_with_that_reason(system: System) -> None:
    fill(system, 2)
    worker = system.start_worker()
    rows = "".join(f"shoes/00{number % 2}.jpg\n" for number in range(1_000))
    manifest = system.put("many.csv", f"key\n{rows}".encode())
    system.api.add_style("broken", pictures.jpeg(1)[:200])
    job_id = system.api.enqueue(
        {
            "recipe": {"model": "reinhard", "style": "broken"},
            "source": {"type": "manifest", "url": manifest},
        }
    )
    job = system.api.wait_until_ended(job_id)
    assert job["outcome"] == "failed"
    assert job["error"]["code"] in {"recipe_truncated", "recipe_corrupt_image"}
    [reference] = system.api.client.get("/v1/styles/broken").json()["references"]
    assert "'broken'" in job["error"]["message"]
    assert reference["url"] in job["error"]["message"]
    assert job["counts"]["cancelled"] == 1_000
    assert worker.log().count('"prepare_failed"') == 1, "once for the job, not for each of its shards"


def test_a_cancelled_job_stops_and_says_what_became_of_each_item(system: System) -> None:
    for number in range(150):
        system.put(f"{number:03d}.png", pictures.png(number, width=600, height=600))
    system.start_worker()
    job_id = system.api.enqueue(unchanged(system))
    system.api.wait(job_id, lambda job: job["counts"]["succeeded"] >= 5)
    assert system.api.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    again = system.api.client.post(f"/v1/jobs/{job_id}/cancel")
    assert again.status_code in {200, 202}, again.text  # 200: it is finishing already
    job = system.api.wait_until_ended(job_id)
    assert job["outcome"] == "cancelled"
    assert job["counts"]["succeeded"] >= 5
    assert job["counts"]["cancelled"] > 0
    assert job["counts"]["succeeded"] + job["counts"]["cancelled"] == job["counts"]["total"] == 150
    assert len(system.api.items(job_id)) == 150
