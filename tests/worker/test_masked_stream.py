"""Recipes with backgrounds, protected colours and tables, through the whole stream: files in, files out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.cards import CardShelf
from jobs.claims import Claim, ClaimedStyle
from jobs.database import Database
from jobs.looks import Background, ColourBackground, KeptBackground, PictureBackground, ProtectedColour
from jobs.recipes import Recipe
from jobs.states import ItemState
from jobs.storage import Storages
from tests import pictures
from tests.worker.test_stream import SIZE, Bench
from worker.held import HeldLease
from worker.images import PictureLimits, decode
from worker.model_cache import ModelCache

LIMITS = PictureLimits()

RED = (0xC8, 0x10, 0x2E)
FREE = {"keep_white": False}


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Bench:
    return Bench(database, tmp_path)


def run(bench: Bench, claim: Claim) -> None:
    """Run a claim with a recipe of its own, with the model that it names."""
    models = ModelCache(CardShelf(), torch.device("cpu"), Storages(), LIMITS, memory_bytes=64 << 20)
    held = HeldLease(claim)
    bench.settler.open(held)
    bench.stream.feed(held, models.prepare(claim), claim.items)
    assert bench.settler.wait_until_idle(60)


def recipe(model: str = "unchanged", given: dict[str, Any] | None = None, **members: Any) -> Recipe:
    parameters = CardShelf().get(model).complete(given or {})
    return Recipe(**{"model": model, "format": "png", "parameters": parameters} | members)


def look(folder: Path) -> dict[str, ClaimedStyle]:
    return {"look": ClaimedStyle((f"file://{folder}/look.png",), (1.0,))}


def claimed(bench: Bench, wanted: Recipe, **replaced: bytes) -> Claim:
    claim = bench.claim(replace={int(name.lstrip("n")): data for name, data in replaced.items()})
    return dataclasses.replace(claim, recipe=wanted, recipe_fingerprint=f"of {wanted}")


def mask(number: int) -> np.ndarray:
    """The left part of a picture, as wide as its number says; one column of it is soft."""
    found = np.zeros((64, 96), np.uint8)
    found[:, : 10 + number] = 255
    found[:, 10 + number] = 128
    return found


def with_masks(bench: Bench, claim: Claim, *, but: int) -> Claim:
    """Give every item a mask beside its picture, except one, whose mask is not there."""
    for number in set(range(SIZE)) - {but}:
        (bench.folder / "in" / f"{number}-mask.png").write_bytes(pictures.encoded(np.dstack(3 * [mask(number)]), "PNG"))
    items = tuple(
        dataclasses.replace(item, mask_url=f"file://{bench.folder}/in/{item.item_no}-mask.png") for item in claim.items
    )
    return dataclasses.replace(claim, items=items)


@pytest.mark.parametrize(
    "background",
    [ColourBackground(colour="#104060", shadow=0.5), PictureBackground(url="file://FOLDER/oak.png")],
)
def test_products_stand_bit_by_bit_on_their_new_background_and_a_missing_mask_costs_its_item(
    bench: Bench, background: Background
) -> None:
    (bench.folder / "oak.png").write_bytes(pictures.png(99, width=50, height=50))
    if isinstance(background, PictureBackground):
        background = PictureBackground(url=f"file://{bench.folder}/oak.png")
    claim = with_masks(bench, claimed(bench, recipe(background=background)), but=5)
    run(bench, claim)
    results = bench.results(claim)
    assert results.pop(5).error_code == "mask_missing"
    assert {row.state for row in results.values()} == {ItemState.SUCCEEDED}
    for number, data in bench.outputs().items():
        found, source = decode(data, LIMITS), pictures.pixels(number)
        inside, outside = mask(number) == 255, mask(number) == 0
        assert np.array_equal(found.pixels[inside], source[inside])
        assert (found.pixels[outside] != source[outside]).any(-1).mean() > 0.9
        assert found.alpha is None


def test_a_background_may_keep_its_photo_with_less_of_the_look(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "look.png").write_bytes(pictures.png(77))
    wanted = recipe("reinhard", FREE, style="look", background=KeptBackground(strength=0.0))
    claim = with_masks(bench, claimed(bench, wanted), but=5)
    run(bench, dataclasses.replace(claim, styles=look(tmp_path)))
    for number, data in bench.outputs().items():
        found, source = decode(data, LIMITS).pixels, pictures.pixels(number)
        assert np.array_equal(found[mask(number) == 0], source[mask(number) == 0])
        assert (found[mask(number) == 255] != source[mask(number) == 255]).any(-1).mean() > 0.1


def test_a_brands_colour_is_held_through_the_whole_stream(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "look.png").write_bytes(pictures.encoded(np.full((40, 40, 3), (20, 60, 110), np.uint8), "PNG"))
    pixels = pictures.pixels(0)
    pixels[:20, :20] = RED
    files = {"n0": pictures.encoded(pixels, "PNG")}
    for colours in ((), (ProtectedColour(colour="#C8102E", delta_e=2.0),)):
        claim = claimed(bench, recipe("reinhard", style="look", protected_colours=colours), **files)
        run(bench, dataclasses.replace(claim, styles=look(tmp_path)))
        found = decode(bench.outputs()[0], LIMITS).pixels
        assert (np.abs(found[5, 5].astype(int) - RED).max() <= 4) == bool(colours)


def test_a_recipe_may_ask_for_tables_in_place_of_pictures(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "look.png").write_bytes(pictures.png(77))
    claim = claimed(bench, recipe("reference-grade", style="look", format="cube"))
    run(bench, dataclasses.replace(claim, styles=look(tmp_path)))
    assert {row.state for row in bench.results(claim).values()} == {ItemState.SUCCEEDED}
    files = [path.read_text() for path in sorted((bench.folder / "out").glob("*.png"))]  # the keys are the bench's
    assert all(text.startswith('TITLE "reference-grade look"\nLUT_3D_SIZE 33\n') for text in files)
    assert all(len(text.splitlines()) == 4 + 33**3 for text in files)
    assert len(set(files)) == SIZE  # each photo has a table of its own
