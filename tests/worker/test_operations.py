"""Every operation through the whole stream, with models made for the purpose: cards in, files in, files out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jobs.cards import CardShelf
from jobs.claims import Claim
from jobs.recipes import Recipe
from jobs.records import ResultRecord
from jobs.states import ItemState
from jobs.storage import Storages
from jobs.wishes import wish_url
from tests import pictures
from tests.worker.test_masked_stream import mask, with_masks
from tests.worker.test_stream import SIZE, Bench
from worker.checkpoints import FORMULAS
from worker.held import HeldLease
from worker.images import PictureLimits, decode
from worker.model_cache import ModelCache
from worker.pipelines.base import Batch, Parameters, Wish

LIMITS = PictureLimits()
SIDE = 80  # px: no whole bucket


class Plain:
    """A model without a style."""

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor | None:
        return None


class Drawn:
    """Makes noise by the seed, tinted by the word; keeps how many it was asked for at once."""

    side_px = SIDE
    attributes = {"colour": ("red", "green")}  # noqa: RUF012  # of the protocol, and never changed

    def generate(self, wishes: Sequence[Wish], parameters: Parameters) -> Tensor:
        return torch.stack([self._one(wish) for wish in wishes])

    def _one(self, wish: Wish) -> Tensor:
        chance = torch.Generator().manual_seed(wish.seed)
        image = torch.randint(0, 200, (3, SIDE, SIDE), generator=chance, dtype=torch.uint8)
        image[self.attributes["colour"].index(wish.attributes["colour"])] = 255
        return image


class Twice(Plain):
    """Repeats each pixel twice each way."""

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        return F.interpolate(batch.images, scale_factor=2, mode="nearest")


class Black(Plain):
    """Paints everything black, whatever it was asked to repair."""

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        assert batch.masks is not None
        return torch.zeros_like(batch.images)


class Negative(Plain):
    """Gives each picture its negative."""

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        return 255 - batch.images


MODELS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "generate": (Drawn, {"side_px": SIDE, "attributes": {"colour": ["red", "green"]}}),
    "upscale": (Twice, {"scale": 2}),
    "inpaint": (Black, {}),
    "translate": (Negative, {}),
}


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CardShelf:
    """One model for each operation, named after it."""
    for operation, (model, config) in MODELS.items():
        monkeypatch.setitem(FORMULAS, operation, lambda _device, model=model: model())
        folder = tmp_path / "models" / operation
        folder.mkdir(parents=True)
        card = {"name": operation, "version": "1", "operation": operation, "architecture": operation}
        card |= {"summary": "For tests.", "config": config, "licence": "MIT"}
        (folder / "model.json").write_text(json.dumps(card))
    return CardShelf(tmp_path / "models")


@pytest.fixture
def bench(database: Any, tmp_path: Path) -> Bench:
    return Bench(database, tmp_path)


def claimed(bench: Bench, operation: str, **given: Any) -> Claim:
    claim = bench.claim(**given)
    recipe = Recipe.model_validate({"operation": operation, "model": operation, "format": "png"})
    return dataclasses.replace(claim, recipe=recipe, recipe_fingerprint=operation)


def run(bench: Bench, shelf: CardShelf, claim: Claim) -> dict[int, ResultRecord]:
    models = ModelCache(shelf, torch.device("cpu"), Storages(), LIMITS, memory_bytes=64 << 20)
    models.warm_up()
    held = HeldLease(claim)
    bench.settler.open(held)
    bench.stream.feed(held, models.prepare(claim), claim.items)
    assert bench.settler.wait_until_idle(60)
    return bench.results(claim)


def outputs(bench: Bench) -> dict[int, np.ndarray]:
    return {number: decode(data, LIMITS).pixels for number, data in bench.outputs().items()}


def test_pictures_are_made_of_wishes_alone_and_the_same_wish_is_the_same_picture(
    bench: Bench, shelf: CardShelf
) -> None:
    wishes = {number: wish_url({"colour": "red"}, seed=number % 4) for number in range(SIZE)}
    wishes[1] = wish_url({"colour": "green"}, seed=1)
    results = run(bench, shelf, claimed(bench, "generate", urls=wishes))
    assert {row.state for row in results.values()} == {ItemState.SUCCEEDED}
    assert {(row.width, row.height) for row in results.values()} == {(SIDE, SIDE)}
    assert {row.source_sha256 for row in results.values()} == {None}
    made = outputs(bench)
    assert (made[0][..., 0] == 255).all()
    assert (made[1][..., 1] == 255).all()
    for number in range(4, SIZE):
        assert np.array_equal(made[number], made[number - 4]) == (number != 5)


def test_a_word_that_the_model_does_not_know_costs_its_item(bench: Bench, shelf: CardShelf) -> None:
    wishes = {number: wish_url({"colour": "red"}, seed=number) for number in range(SIZE)}
    wishes[3] = wish_url({"colour": "mauve"}, seed=3)
    results = run(bench, shelf, claimed(bench, "generate", urls=wishes))
    assert results.pop(3).error_code == "model_failed"
    assert {row.state for row in results.values()} == {ItemState.SUCCEEDED}


def test_a_picture_grows_with_its_alpha_and_is_measured_at_its_own_size(bench: Bench, shelf: CardShelf) -> None:
    alpha = pictures.pixels(0, width=30, height=50)[..., 0]
    see_through = np.dstack([pictures.pixels(1, width=30, height=50), alpha])
    results = run(bench, shelf, claimed(bench, "upscale", replace={0: pictures.encoded(see_through, "PNG")}))
    assert {row.state for row in results.values()} == {ItemState.SUCCEEDED}
    assert (results[0].width, results[0].height) == (60, 100)
    grown = decode(bench.outputs()[0], LIMITS)
    assert np.array_equal(grown.pixels[::2, ::2], see_through[..., :3])
    assert grown.alpha is not None
    assert np.abs(grown.alpha[::2, ::2].astype(int) - alpha).mean() < 40
    assert np.array_equal(outputs(bench)[3], pictures.pixels(3).repeat(2, 0).repeat(2, 1))
    assert {(row.measures or {})["psnr_db"] for row in results.values()} == {99.0}


def test_a_picture_that_would_grow_beyond_the_limits_costs_its_item(bench: Bench, shelf: CardShelf) -> None:
    wide = pictures.png(5, width=9_000, height=100)
    results = run(bench, shelf, claimed(bench, "upscale", replace={2: wide}))
    assert results.pop(2).error_code == "side_too_long"
    assert {row.state for row in results.values()} == {ItemState.SUCCEEDED}


def test_what_is_not_to_be_repaired_keeps_every_byte_whatever_the_model_does(bench: Bench, shelf: CardShelf) -> None:
    results = run(bench, shelf, with_masks(bench, claimed(bench, "inpaint"), but=7))
    assert results.pop(7).error_code == "mask_missing"
    assert {row.state for row in results.values()} == {ItemState.SUCCEEDED}
    for number, found in outputs(bench).items():
        assert (found[mask(number) == 255] == 0).all()
        assert np.array_equal(found[mask(number) == 0], pictures.pixels(number)[mask(number) == 0])
    assert all((row.measures or {})["colour_shift"] == 0 for row in results.values())


def test_what_is_translated_is_not_measured_against_its_sketch(bench: Bench, shelf: CardShelf) -> None:
    results = run(bench, shelf, claimed(bench, "translate"))
    assert {(row.state, row.measures) for row in results.values()} == {(ItemState.SUCCEEDED, None)}
    assert np.array_equal(outputs(bench)[4], 255 - pictures.pixels(4))
