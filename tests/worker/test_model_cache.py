"""Models that are kept loaded: each once, within a budget, and never built while one runs."""

from __future__ import annotations

import dataclasses
import datetime
import gc
import json
import shutil
import threading
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from jobs.cards import BUILT_IN, CardShelf
from jobs.claims import Claim, ClaimedStyle
from jobs.leases import Lease
from jobs.looks import SegmentedMask, Step
from jobs.recipes import Recipe
from jobs.storage import Storages
from tests import pictures
from tests.segmenters import add_segmenter
from worker.checkpoints import read_checkpoint
from worker.images import PictureLimits
from worker.model_cache import ModelCache

NAMES = ("first", "second", "third")
WEIGHTS_BYTES = read_checkpoint(CardShelf(), "reference-grade").bytes


@pytest.fixture
def shelf(tmp_path: Path) -> CardShelf:
    """Three models of equal size."""
    for name in NAMES:
        shutil.copytree(BUILT_IN / "reference-grade", tmp_path / "models" / name)
        card = json.loads((tmp_path / "models" / name / "model.json").read_text(encoding="utf-8"))
        (tmp_path / "models" / name / "model.json").write_text(json.dumps(card | {"name": name}), encoding="utf-8")
    return CardShelf(tmp_path / "models")


@pytest.fixture
def reference(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "look.png").write_bytes(pictures.png(3))
    return f"file://{tmp_path}/look.png"


def cache(shelf: CardShelf, memory_bytes: int) -> ModelCache:
    return ModelCache(shelf, torch.device("cpu"), Storages(), PictureLimits(), memory_bytes=memory_bytes)


def claim(model: str, reference: str) -> Claim:
    lease = Lease(job_id=uuid.uuid4(), shard_no=0, token=1, attempt=1, worker_id=uuid.uuid4())
    recipe = Recipe(model=model, style="look")
    return Claim(
        lease=lease,
        suspect=False,
        postponed_count=0,
        recipe=recipe,
        recipe_fingerprint=f"of {model}",
        job_created_at=datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC),
        styles={"look": ClaimedStyle((reference,), (1.0,))},
        output_url="file:///out/",
        items=(),
    )


def test_a_model_is_loaded_once_and_a_style_encoded_once(shelf: CardShelf, reference: str) -> None:
    models = cache(shelf, 10 * WEIGHTS_BYTES)
    assert models.prepare(claim("first", reference)) is models.prepare(claim("first", reference))


def test_what_was_used_longest_ago_makes_room_and_its_memory_is_given_back(shelf: CardShelf, reference: str) -> None:
    models = cache(shelf, 2 * WEIGHTS_BYTES)
    first = weakref.ref(models.prepare(claim("first", reference)).steps[0].pipeline)
    second = weakref.ref(models.prepare(claim("second", reference)).steps[0].pipeline)
    models.prepare(claim("first", reference))
    models.prepare(claim("third", reference))
    assert models.names == ["first", "third"]
    gc.collect()
    assert first() is not None
    assert second() is None, "something still holds the model that was evicted"


def test_a_model_above_the_budget_is_loaded_alone(shelf: CardShelf, reference: str) -> None:
    models = cache(shelf, 1)
    for name in NAMES:
        models.prepare(claim(name, reference))
        assert models.names == [name]


def test_all_but_the_model_of_a_recipe_can_be_evicted(shelf: CardShelf, reference: str) -> None:
    models = cache(shelf, 10 * WEIGHTS_BYTES)
    for name in NAMES:
        models.prepare(claim(name, reference))
    assert models.evict("of second")
    assert models.names == ["second"]
    assert not models.evict("of second")


def cascade(reference: str, *names: str, mask: str | None = None) -> Claim:
    """A claim of a recipe with several models."""
    first, *then = names
    steps = tuple(Step(model=name, style="look", on="all") for name in then)
    recipe = Recipe(model=first, style="look", then=steps, mask=mask and SegmentedMask(model=mask))
    return dataclasses.replace(claim(first, reference), recipe=recipe, recipe_fingerprint=f"of {names}")


def test_the_models_of_one_recipe_are_there_together_even_above_the_budget(shelf: CardShelf, reference: str) -> None:
    models = cache(shelf, WEIGHTS_BYTES)  # room for one
    models.prepare(claim("third", reference))
    prepared = models.prepare(cascade(reference, "first", "second"))
    assert models.names == ["first", "second"]
    assert models.prepare(cascade(reference, "first", "second")) is prepared
    assert not models.evict("of ('first', 'second')"), "each is needed for the other's pictures"
    gone = [weakref.ref(step.pipeline) for step in prepared.steps]
    del prepared
    models.prepare(claim("third", reference))
    assert models.names == ["third"]
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_a_recipe_that_names_a_model_twice_has_it_once_with_each_style(shelf: CardShelf, reference: str) -> None:
    models = cache(shelf, WEIGHTS_BYTES)
    twice = models.prepare(cascade(reference, "first", "first"))
    assert twice.steps[0].pipeline is twice.steps[1].pipeline
    assert models.names == ["first"]


def test_what_computes_a_picture_names_every_model(shelf: CardShelf, reference: str) -> None:
    add_segmenter(shelf.folder)
    models = cache(CardShelf(shelf.folder), 10 * WEIGHTS_BYTES)
    alone = models.prepare(claim("first", reference)).engine
    both = models.prepare(cascade(reference, "first", "second", mask="finder")).engine
    assert set(alone.facts) == set(both.facts) - {"then", "mask"}
    assert [each["model"] for each in both.facts["then"]] == ["second"]
    assert (both.facts["mask"]["model"], set(both.facts["mask"])) == (
        "finder",
        {"model", "model_version", "weights_sha256", "onnxruntime"},
    )
    assert models.names == ["first", "second", "finder"]
    warm = cache(CardShelf(shelf.folder), 10 * WEIGHTS_BYTES)
    warm.warm_up()
    assert set(warm.names) == {*NAMES, "finder"}


def test_a_warm_cache_holds_what_fits_and_a_damaged_model_spoils_nothing(shelf: CardShelf) -> None:
    (shelf.folder / "first" / "weights.safetensors").write_bytes(b"damaged")
    models = cache(shelf, 10 * WEIGHTS_BYTES)
    models.warm_up()
    assert models.names == ["second", "third"]
    small = cache(shelf, WEIGHTS_BYTES)
    small.warm_up()
    assert small.names == ["second"]


def test_no_model_is_built_while_another_runs(shelf: CardShelf, reference: str) -> None:
    models = cache(shelf, 10 * WEIGHTS_BYTES)
    loading = threading.Thread(target=models.prepare, args=(claim("first", reference),), daemon=True)
    with models.loading.shared():  # as the model stage does for each batch
        loading.start()
        loading.join(0.5)
        assert loading.is_alive()
        assert models.names == []
    loading.join(60)
    assert models.names == ["first"]
