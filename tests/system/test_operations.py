"""Pictures that are made, enlarged and repaired, from end to end through real processes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from jobs.cards import BUILT_IN
from jobs.locations import Location
from tests import pictures
from tests.system.conftest import System
from worker.images import PictureLimits, decode
from worker.networks.vae import Vae
from worker.training.vae import VaeObjective

pytestmark = pytest.mark.system

LIMITS = PictureLimits()
WORDS = {"kind": ["mug", "shoe"], "colour": ["red", "blue"]}
CONFIG = {"side_px": 32, "width": 8, "latent": 8, "code": 16, "attributes": WORDS}


def add_drawer(folder: Path) -> None:
    """Put a model below a folder that makes pictures of words, and has learned nothing: all of them are blots."""
    torch.manual_seed(0)
    weights = save({name: tensor.contiguous() for name, tensor in Vae(**CONFIG).state_dict().items()})
    (folder / "drawer").mkdir()
    (folder / "drawer" / "weights.safetensors").write_bytes(weights)
    card = {"name": "drawer", "version": "1", "operation": "generate", "architecture": "vae", "summary": "Draws blots."}
    card |= {"licence": "MIT", "parameters": VaeObjective.card["parameters"], "config": CONFIG}
    card |= {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    (folder / "drawer" / "model.json").write_text(json.dumps(card))


@pytest.fixture
def system(embedded: System, tmp_path: Path) -> Iterator[System]:
    """A system with a folder of models: the built-in ones, and one that makes pictures."""
    shutil.copytree(BUILT_IN, tmp_path / "models")
    add_drawer(tmp_path / "models")
    found = embedded.anew(RESTYLE_MODELS_DIR=str(tmp_path / "models"))
    found.start_worker()
    yield found
    found.stop()


def done(system: System, operation: str, model: str, source: dict[str, Any], **recipe: Any) -> list[dict[str, Any]]:
    """Run a job and return its items."""
    recipe |= {"operation": operation, "model": model, "format": "png"}
    job = system.api.wait_until_ended(system.api.enqueue({"recipe": recipe, "source": source}))
    assert job["outcome"] == "succeeded", job
    return system.api.items(job["id"])


def rows(system: System, name: str, *members: dict[str, Any]) -> dict[str, Any]:
    """Put a manifest; return it as a source."""
    url = system.put(name, "".join(json.dumps(row) + "\n" for row in members).encode())
    return {"type": "manifest", "url": url}


def opened(system: System, url: str) -> np.ndarray:
    location = Location.parse(url)
    pixels: np.ndarray = decode(system.storages.at(location).read(location.key, max_bytes=10**7), LIMITS).pixels
    return pixels


def test_a_row_is_the_same_picture_tomorrow_on_another_worker_and_in_other_company(system: System) -> None:
    row = {"product_id": "A77", "kind": "mug", "colour": "red", "count": 3}
    others = [{"kind": "shoe"}, {"colour": "blue", "count": 5}]
    today = done(system, "generate", "drawer", rows(system, "today.jsonl", *others, row), seed=7)
    assert len(today) == 9
    assert len({item["sha256"] for item in today}) == 9
    assert {(item["width"], item["height"]) for item in today} == {(32, 32)}
    made = {Path(item["output_url"]).name: item["sha256"] for item in today if item["product_id"] == "A77"}
    assert sorted(made) == ["A77-1.png", "A77-2.png", "A77-3.png"]

    [worker] = system.workers
    worker.kill()
    system.start_worker()
    tomorrow = done(system, "generate", "drawer", rows(system, "tomorrow.jsonl", row), seed=7)
    assert {Path(item["output_url"]).name: item["sha256"] for item in tomorrow} == made
    other = done(system, "generate", "drawer", rows(system, "other.jsonl", row), seed=8)
    assert not {item["sha256"] for item in other} & set(made.values())


def test_pictures_are_enlarged_and_repaired_by_the_built_in_models(system: System) -> None:
    url = system.put("small/0.png", pictures.png(0))
    [enlarged] = done(system, "upscale", "super-resolution-2x", {"type": "prefix", "url": url.removesuffix("0.png")})
    assert opened(system, enlarged["output_url"]).shape == (128, 192, 3)
    assert enlarged["measures"]["psnr_db"] > 25  # made small again, it is what it was

    hole = np.zeros((64, 96), np.uint8)
    hole[20:30, 40:60] = 255
    mask = system.put("hole.png", pictures.encoded(np.dstack(3 * [hole]), "PNG"))
    source = rows(system, "holes.jsonl", {"key": url, "mask_key": mask})
    [repaired] = done(system, "inpaint", "inpainting", source)
    found = opened(system, repaired["output_url"])
    assert np.array_equal(found[hole == 0], pictures.pixels(0)[hole == 0])
    assert not np.array_equal(found, pictures.pixels(0))


def test_a_worker_that_is_killed_while_it_makes_pictures_loses_none_and_changes_none(system: System) -> None:
    count = 300
    recipe = {"operation": "generate", "model": "drawer", "format": "png", "seed": 7}
    job_id = system.api.enqueue({"recipe": recipe, "source": {"type": "count", "count": count}})
    system.api.wait(job_id, lambda job: 5 <= job["counts"]["succeeded"] < count)
    [worker] = system.workers
    worker.kill()
    assert system.api.job(job_id)["counts"]["pending"] > 0, "the worker was too quick to be killed in the middle"
    system.start_worker()
    job = system.api.wait_until_ended(job_id)
    assert job["counts"]["succeeded"] == count, job
    items = system.api.items(job_id)
    assert [item["item_no"] for item in items] == list(range(count))
    assert len({item["sha256"] for item in items}) == count
    undisturbed = done(system, "generate", "drawer", {"type": "count", "count": 60}, seed=7)
    assert [item["sha256"] for item in undisturbed] == [item["sha256"] for item in items[:60]]
