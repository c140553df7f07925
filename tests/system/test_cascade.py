"""Several models in one recipe, and masks from a model of the user's, from end to end through real processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.cards import BUILT_IN
from jobs.locations import Location
from tests import pictures
from tests.segmenters import add_segmenter
from tests.system.conftest import System
from worker.images import PictureLimits, decode

pytestmark = pytest.mark.system

ITEMS = 6
LIMITS = PictureLimits()
FIRST = {"model": "reference-grade", "style": "dusk", "parameters": {"strength": 0.8}, "on": "product"}
SEA = {"type": "colour", "colour": "#104060"}
SECOND = {"model": "reinhard", "style": "dawn", "parameters": {"keep_white": False}, "on": "background"}


@pytest.fixture
def system(embedded: System, tmp_path: Path) -> Iterator[System]:
    """A system with a folder of models: the built-in ones, and one that finds products."""
    shutil.copytree(BUILT_IN, tmp_path / "models")
    add_segmenter(tmp_path / "models", side_px=96)
    found = embedded.anew(RESTYLE_MODELS_DIR=str(tmp_path / "models"))
    found.start_worker()
    yield found
    found.stop()


def manifest(system: System, name: str, urls: list[str]) -> str:
    """Put a manifest of pictures, each with its mask; return its URL."""
    rows = [{"key": url, "mask_key": f"{system.catalogue_url}{n}-mask.png"} for n, url in enumerate(urls)]
    return system.put(name, "".join(json.dumps(row) + "\n" for row in rows).encode())


def dark(number: int) -> np.ndarray:
    """A picture whose disc is dark, and whose ground is light."""
    pixels = pictures.pixels(number)
    found: np.ndarray = np.where(pixels.min(-1, keepdims=True) > 230, pixels, pixels // 3)
    return found


def mask(number: int) -> np.ndarray:
    """The left part of a picture is product; a few columns of it are soft."""
    found = np.zeros((64, 96), np.uint8)
    found[:, : 30 + number], found[:, 30 + number : 34 + number] = 255, 120
    return found


def done(system: System, url: str, **recipe: Any) -> list[dict[str, Any]]:
    """Run a job and return its items."""
    kind = "manifest" if url.endswith(".jsonl") else "prefix"
    request = {"recipe": {"format": "png"} | recipe, "source": {"type": kind, "url": url}}
    job = system.api.wait_until_ended(system.api.enqueue(request))
    assert job["outcome"] == "succeeded", job
    return system.api.items(job["id"])


def opened(system: System, url: str) -> np.ndarray:
    location = Location.parse(url)
    pixels: np.ndarray = decode(system.storages.at(location).read(location.key, max_bytes=10**7), LIMITS).pixels
    return pixels


def test_a_cascade_gives_the_bytes_of_its_jobs_one_after_the_other_and_masks_come_from_a_model(system: System) -> None:
    for name, number in (("dusk", 1000), ("dawn", 2000)):
        system.api.add_style(name, pictures.jpeg(number, width=200, height=150))
    originals = [system.put(f"shoes/{n}.png", pictures.png(n)) for n in range(ITEMS)]
    for number in range(ITEMS):
        system.put(f"{number}-mask.png", pictures.encoded(np.dstack(3 * [mask(number)]), "PNG"))
        system.put(f"dark/{number}.png", pictures.encoded(dark(number), "PNG"))
    source = manifest(system, "spring.jsonl", originals)

    together = done(system, source, **FIRST, then=[SECOND])
    half_way = done(system, source, **FIRST)
    apart = done(system, manifest(system, "half.jsonl", [item["output_url"] for item in half_way]), **SECOND)
    assert [item["sha256"] for item in together] == [item["sha256"] for item in apart]
    for number, (item, half) in enumerate(zip(together, half_way, strict=True)):
        picture, restyled = opened(system, item["output_url"]), opened(system, half["output_url"])
        inside, outside = mask(number) == 255, mask(number) == 0
        assert np.array_equal(picture[inside], restyled[inside])
        assert np.array_equal(restyled[outside], pictures.pixels(number)[outside])
        assert (picture[outside] != restyled[outside]).any(-1).mean() > 0.5

    found = done(system, system.catalogue_url + "dark/", model="unchanged", background=SEA, mask={"model": "finder"})
    for number, item in enumerate(found):
        kept = (opened(system, item["output_url"]) == dark(number)).all(-1)
        disc = dark(number).min(-1) < 100
        assert not kept[~disc].any(), "what is not product has become sea"
        assert kept[disc].mean() > 0.6, "of the product all is kept but its soft edge"
    models = system.api.client.get("/v1/models").json()["data"]
    assert [model["name"] for model in models if model["operation"] == "segment"] == ["finder"]
