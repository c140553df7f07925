"""Several models in one recipe: each where it is to act, together on the device, and all of them or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs.claims import Claim
from jobs.database import Database
from jobs.looks import ProtectedColour, Step
from jobs.states import ItemState
from tests import pictures
from tests.worker.test_masked_stream import LIMITS, claimed, look, mask, recipe, run, with_masks
from tests.worker.test_pipelines import FULL, batch, model, photo, style
from tests.worker.test_stream import SIZE, Bench, Invert, Tiled, prepared
from worker import cascade
from worker.cascade import ReadyStep
from worker.held import HeldLease
from worker.images import decode
from worker.networks.colour import delta_e_2000, srgb_to_lab
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_table import check


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Bench:
    return Bench(database, tmp_path)


def ready(name: str, on: Any = "all", **members: Any) -> ReadyStep:
    return ReadyStep(pipeline=model(name), style=style(name), parameters=FULL, on=on, **members)


def masked(given: Batch) -> Batch:
    """A batch of products that stand in the left of each picture, with a soft edge."""
    masks = torch.zeros(len(given.images), 1, *given.images.shape[2:], dtype=torch.uint8)
    for found, (height, width) in zip(masks, given.sizes, strict=True):
        found[:, :height, : width // 2] = 255
        found[:, :height, width // 2 : width // 2 + 5] = 90
    return dataclasses.replace(given, masks=masks)


def cut(images: Tensor, given: Batch) -> list[Tensor]:
    return [image[:, :h, :w] for image, (h, w) in zip(images, given.sizes, strict=True)]


STEPS = (ready("reference-grade", "product"), ready("reinhard"), ready("monge-kantorovich", "background"))


def test_each_model_acts_on_its_region_and_leaves_every_byte_outside() -> None:
    given = masked(batch(photo(97, 131)))
    assert given.masks is not None
    inside, outside = given.masks[0, 0] == 255, given.masks[0, 0] == 0
    [picture] = given.images
    [product] = cascade.run([ready("reinhard", "product")], given)
    [background] = cascade.run([ready("reinhard", "background")], given)
    [whole] = cascade.run([ready("reinhard")], given)
    for found, acted, kept in ((product, inside, outside), (background, outside, inside)):
        assert torch.equal(found[:, acted], whole[:, acted])
        assert torch.equal(found[:, kept], picture[:, kept])
    soft = ~(inside | outside)
    mixed = (whole[:, soft].int() * 90 + picture[:, soft].int() * 165) / 255
    assert (product[:, soft] - mixed).abs().max() <= 0.5


def test_a_picture_does_not_depend_on_its_company_place_or_padding() -> None:
    picture, others = photo(97, 131), [photo(60 + 9 * k, 140 - 7 * k, seed=k) for k in range(1, 4)]
    [alone] = cut(cascade.run(STEPS, masked(batch(picture))), batch(picture))
    for place in (0, 3):
        company = [*others[:place], picture, *others[place:]]
        given = masked(batch(*company, padding=(31, 5), fill=255))
        assert torch.equal(cut(cascade.run(STEPS, given), given)[place], alone)


class Whole(Invert):
    """Cannot take a picture in tiles."""


@pytest.mark.parametrize("rows", [7, 1000])
def test_a_picture_that_runs_in_tiles_gets_the_same_bytes(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (*STEPS, ReadyStep(pipeline=Whole(), style=None, parameters={}, on="product"))
    given = masked(batch(photo(97, 131)))
    expected = cascade.run(steps, given)
    monkeypatch.setattr("worker.pipelines.by_table._TILE_PIXELS", rows * 131)
    monkeypatch.setattr("worker.cascade._STRIP_PIXELS", rows * 131)
    assert torch.equal(cascade.run_tiled(steps, given, torch.device("cpu")), expected)
    assert torch.equal(given.images, batch(photo(97, 131)).images), "it is left as it came"


def run_steps(bench: Bench, claim: Claim, *steps: ReadyStep) -> None:
    held = HeldLease(claim)
    bench.settler.open(held)
    bench.stream.feed(held, dataclasses.replace(prepared(claim, Invert()), steps=steps), claim.items)
    assert bench.settler.wait_until_idle(30)


def of(pipeline: Invert, on: Any = "all") -> ReadyStep:
    return ReadyStep(pipeline=pipeline, style=None, parameters={}, on=on)


class Darken(Invert):
    """Halves the light; run twice on one picture it would show."""

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        return 255 - super().run(batch, style, parameters) // 2


def test_what_does_not_fit_in_the_second_model_is_halved_and_goes_through_all_of_them_again(bench: Bench) -> None:
    run_steps(bench, bench.claim(), of(Invert()), of(Darken()))
    expected = bench.outputs()
    assert len(expected) == SIZE
    first, second = Invert(), Darken(fits=1)
    claim = bench.claim()
    run_steps(bench, claim, of(first), of(second))
    assert {row.state for row in bench.results(claim).values()} == {ItemState.SUCCEEDED}
    assert bench.outputs() == expected
    assert set(second.sizes) == {1}
    assert sum(first.sizes) > SIZE, "whatever was tried again was tried from its original on"


class Strict(Tiled):
    """Takes nothing but what a batch has to be."""

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        check(batch)
        return super().run_tiled(batch, style, parameters)


@pytest.mark.parametrize("last", [Strict(fits=0), Invert()])
def test_a_picture_that_never_fits_whole_goes_in_tiles_through_the_models_that_can(bench: Bench, last: Invert) -> None:
    claim = with_masks(bench, claimed(bench, recipe(on="product")), but=5)
    run_steps(bench, claim, of(Strict(fits=0), "product"), of(last, "background"))
    results = bench.results(claim)
    assert results.pop(5).error_code == "mask_missing"
    assert {row.state for row in results.values()} == {ItemState.SUCCEEDED}
    for number, data in bench.outputs().items():
        share = mask(number).astype(int)[..., None]
        source = pictures.pixels(number).astype(int)
        first = ((255 - source) * share + source * (255 - share) + 127) // 255
        wanted = (first * share + (255 - first) * (255 - share) + 127) // 255
        assert np.array_equal(decode(data, LIMITS).pixels, wanted)


def test_gates_judge_what_the_last_model_has_made(bench: Bench) -> None:
    claim = bench.claim(gates={"psnr_db": {"minimum": 90}})
    run_steps(bench, claim, of(Invert()))
    assert {row.state for row in bench.results(claim).values()} == {ItemState.REJECTED}
    claim = bench.claim(gates={"psnr_db": {"minimum": 90}})
    run_steps(bench, claim, of(Invert()), of(Invert()))
    assert {row.state for row in bench.results(claim).values()} == {ItemState.SUCCEEDED}


def steps_of(*names: str, parameters: dict[str, Any]) -> Sequence[Step]:
    return tuple(Step(model=name, style="look", parameters=parameters, on="all") for name in names)


def test_a_brands_colour_is_held_by_all_models_together(bench: Bench, tmp_path: Path) -> None:
    red = (0xC8, 0x10, 0x2E)
    (tmp_path / "look.png").write_bytes(pictures.encoded(np.full((40, 40, 3), (20, 60, 110), np.uint8), "PNG"))
    pixels = pictures.pixels(0)
    pixels[:20, :20] = red
    further = steps_of("monge-kantorovich", "reinhard", "monge-kantorovich", parameters=FULL)
    for colours in ((), (ProtectedColour(colour="#c8102e", delta_e=2.0),)):
        wanted = recipe("reinhard", FULL, style="look", then=further, protected_colours=colours)
        claim = claimed(bench, wanted, n0=pictures.encoded(pixels, "PNG"))
        run(bench, dataclasses.replace(claim, styles=look(tmp_path)))
        found = decode(bench.outputs()[0], LIMITS).pixels[5, 5]
        lab = srgb_to_lab(torch.tensor(np.stack((found, red)) / 255.0))
        moved = float(delta_e_2000(lab[:1], lab[1:])[0])
        assert moved <= 2.0 if colours else moved > 10
