"""Pictures that are put together, and looks by rules, from end to end through real processes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests import pictures
from tests.system.conftest import System

pytestmark = pytest.mark.system

RULES = [{"when": {"season": "autumn"}, "style": "autumn"}, {"when": {"season": "winter"}, "style": "winter"}]


def cut_out(number: int) -> bytes:
    """Return a picture whose alpha tells its product from its ground: finding that takes a busy machine long."""
    pixels = pictures.pixels(number)
    alpha = np.where(pixels.min(2, keepdims=True) < 230, np.uint8(255), np.uint8(0))
    return pictures.encoded(np.dstack((pixels, alpha)), "PNG")


def run(system: System, name: str, rows: list[dict[str, Any]], **recipe: Any) -> dict[str, dict[str, Any]]:
    """Run a job over the rows of a manifest; return its items by product."""
    url = system.put(name, "".join(json.dumps(row) + "\n" for row in rows).encode())
    given = {"model": "reinhard", "style": "plain", "format": "png"} | recipe
    job_id = system.api.enqueue({"recipe": given, "source": {"type": "manifest", "url": url}})
    job = system.api.wait_until_ended(job_id)
    assert job["counts"]["total"] == len(rows), job
    return {item["product_id"]: item for item in system.api.items(job_id)}


def test_sheets_and_photos_get_the_looks_that_rules_choose_and_an_unreadable_picture_costs_one_sheet(
    grown: System,
) -> None:
    for number, name in enumerate(("plain", "autumn", "winter")):
        grown.api.add_style(name, pictures.jpeg(50 + number))
    urls = [grown.put(f"{number}.png", cut_out(number)) for number in range(4)]
    grown.put("torn.png", cut_out(4)[:300])
    rows: list[dict[str, Any]] = [
        {"product_id": "photo", "key": "0.png", "season": "autumn"},
        {"product_id": "set", "keys": ["0.png", "1.png", urls[2]], "season": "winter", "sheet_cell_px": 128},
        {"product_id": "torn", "keys": ["0.png", "torn.png"], "season": "winter"},
        {"product_id": "gone", "keys": ["0.png", "1.png", "gone.png"], "season": "autumn"},
        {"product_id": "tag", "label_title": "Mug, red", "label_price": "12,50 €", "season": "autumn"},
        {"product_id": "mute", "label_title": "磁器"},
        {"product_id": "other", "keys": ["2.png", "3.png"], "sheet_cell_px": 128, "sheet_columns": 1},
    ]
    grown.start_worker()
    found = run(grown, "mixed.jsonl", rows, rules=RULES)
    assert {name: item["state"] for name, item in found.items()} == {
        "photo": "succeeded",
        "set": "succeeded",
        "torn": "failed",
        "gone": "failed",
        "tag": "succeeded",
        "mute": "failed",
        "other": "succeeded",
    }
    torn, gone = (found[name]["error"] for name in ("torn", "gone"))
    assert (torn["code"], gone["code"]) == ("truncated", "object_missing")
    assert torn["message"].startswith(f"picture 2 of 2, {urls[0].replace('0.png', 'torn.png')}: ")
    assert gone["message"].startswith("picture 3 of 3, ")
    assert found["mute"]["error"]["code"] == "label_unfit"
    assert (found["tag"]["width"], found["tag"]["height"]) == (640, 400)
    assert (found["set"]["width"], found["set"]["height"]) == (384, 128)
    assert (found["other"]["width"], found["other"]["height"]) == (128, 256)

    of_winter = [row for row in rows if row.get("season") == "winter"]
    alone = run(grown, "winter.jsonl", of_winter, style="winter")
    assert {name: item["sha256"] for name, item in alone.items()} == {name: found[name]["sha256"] for name in alone}
