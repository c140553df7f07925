"""Smooth light over the frame: read off references, carried to photos, and never more than is promised."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import avg_pool2d

from jobs.cards import BUILT_IN, CardShelf
from jobs.recipes import Recipe, fingerprint
from tests.worker.test_colour_order import Seeds, luma_of, ordered_pairs, wild_table
from tests.worker.test_protected_colours import RED
from worker.checkpoints import load_pipeline
from worker.networks.colour import delta_e_2000, linear_to_srgb, srgb_to_lab, srgb_to_linear
from worker.networks.local_light import LocalLight, light_to_give
from worker.pipelines.base import Batch, ProtectedColour
from worker.pipelines.by_table import run_by_table, run_by_table_tiled
from worker.pipelines.reference_grade import ReferenceGrade
from worker.training.grade import CARD

FULL = {"strength": 1.0, "keep_white": False}
LIT = FULL | {"local_light": 1.0}
VIGNETTE = LocalLight((0.1, -0.05, -0.5), -0.75, 0.35)


@pytest.fixture(scope="module")
def grade() -> ReferenceGrade:
    pipeline = load_pipeline(CardShelf(), "reference-grade", torch.device("cpu"))
    assert isinstance(pipeline, ReferenceGrade)
    return pipeline


def dead_leaves(seed: int, height: int = 160, width: int = 200) -> Tensor:
    """Many overlapping rectangles of all colours, evenly lit: uint8 [3, height, width]."""
    random = torch.Generator().manual_seed(seed)
    picture = torch.zeros(3, height, width)
    for _ in range(600):
        top, left, tall, wide = (torch.rand(4, generator=random) * torch.tensor([height, width, 40.0, 40.0])).int()
        colour = torch.rand(3, 1, 1, generator=random) * 0.7 + 0.15
        y, x = max(0, int(top) - 20), max(0, int(left) - 20)
        picture[:, y : y + int(tall) + 8, x : x + int(wide) + 8] = colour
    return (picture * 255).round().to(torch.uint8)


def stops_of_vignette(height: int, width: int) -> Tensor:
    """A stop and a half less in the corners than in the middle, [height, width]."""
    x, y = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)
    return -0.75 * (x[None].square() + y[:, None].square())


def under(picture: Tensor, stops: Tensor) -> Tensor:
    return (linear_to_srgb(srgb_to_linear(picture / 255) * 2**stops).clamp(0, 1) * 255).round().to(torch.uint8)


def batch(*pictures: Tensor) -> Batch:
    return Batch(images=torch.stack(pictures), sizes=[(p.shape[1], p.shape[2]) for p in pictures])


def given_light(grade: ReferenceGrade, references: list[Tensor], photo: Tensor) -> Tensor:
    """The light, in stops, that the parts of a photo get from references: [h / 20, w / 20]."""
    style = grade.encode_style(references)
    plain, lit = (grade.run(batch(photo), style, parameters)[0] for parameters in (FULL, LIT))
    levels = [avg_pool2d(srgb_to_linear(p.float() / 255).mean(0)[None], 20)[0] for p in (plain, lit)]
    return (levels[1] / levels[0]).log2()


def test_a_vignette_of_the_references_comes_to_another_photo_and_none_from_those_without(
    grade: ReferenceGrade,
) -> None:
    photo, references = dead_leaves(50) // 2 + 64, [dead_leaves(seed) for seed in range(3)]
    vignette = stops_of_vignette(160, 200)
    true = avg_pool2d(vignette[None], 20)[0]
    found = given_light(grade, [under(reference, vignette) for reference in references], photo)
    assert torch.corrcoef(torch.stack((found.flatten(), true.flatten())))[0, 1] > 0.95
    assert 0.4 < (found.max() - found.min()) / (true.max() - true.min()) < 1.1
    assert given_light(grade, references, photo).abs().max() == 0

    side = torch.linspace(-0.8, 0.8, 200).expand(160, 200)
    found = given_light(grade, [under(reference, side) for reference in references], photo)
    true = avg_pool2d(side[None], 20)[0]
    assert torch.corrcoef(torch.stack((found.flatten(), true.flatten())))[0, 1] > 0.95


def test_no_more_than_a_stop_is_given_and_half_of_it_at_half() -> None:
    light = light_to_give(torch.tensor([[3.0, 0.0, -4.0]]), 1.0)
    assert light is not None
    assert max(-light.weakest, light.strongest) == pytest.approx(1)
    whole, half = (light_to_give(torch.tensor([[0.2, 0.1, -0.4]]), amount) for amount in (1.0, 0.5))
    assert whole is not None
    assert half is not None
    assert half.weakest == pytest.approx(whole.weakest / 2)
    assert light_to_give(torch.tensor([[0.2, 0.1, -0.4]]), 0.0) is None
    assert light_to_give(torch.tensor([[0.05, 0.0, -0.05]]), 1.0) is None


@settings(max_examples=8, deadline=None)
@given(
    seed=Seeds,
    strength=st.floats(0, 1),
    keep_white=st.booleans(),
    colours=st.lists(st.tuples(*3 * [st.integers(0, 255)]), max_size=2),
)
def test_at_one_place_equal_colours_stay_equal_and_light_stays_lighter_whatever_the_table(
    seed: int, strength: float, keep_white: bool, colours: list[tuple[int, int, int]]
) -> None:
    darker, lighter = (pixels.reshape(3, 30, 50) for pixels in ordered_pairs(seed, 1500))
    other = darker.clone()
    other[:, ::2] = lighter[:, ::2]  # shares every second row with the first, the others with the second
    protected = tuple(ProtectedColour(colour=colour, delta_e=2.0) for colour in colours)
    company = dataclasses.replace(batch(darker, lighter, other), protected=protected)
    parameters = {"strength": strength, "keep_white": keep_white}
    table = wild_table(seed, 33)
    a, b, mixed = run_by_table(company, lambda _: table, parameters, ordered=True, light=VIGNETTE)
    assert (luma_of(b.reshape(3, -1)) - luma_of(a.reshape(3, -1))).min() >= -1.01 / 255
    assert torch.equal(mixed[:, ::2], b[:, ::2])
    assert torch.equal(mixed[:, 1::2], a[:, 1::2])


def test_a_protected_colour_is_held_at_every_place_and_white_stays_white() -> None:
    picture = torch.tensor(RED, dtype=torch.uint8).view(3, 1, 1).expand(3, 40, 60).clone()
    picture[:, :, 30:] = 255
    company = dataclasses.replace(batch(picture), protected=(ProtectedColour(colour=RED, delta_e=2.0),))
    parameters = {"strength": 1.0, "keep_white": True}
    table = wild_table(1, 33) * 0.5
    (found,) = run_by_table(company, lambda _: table, parameters, ordered=True, light=VIGNETTE)
    assert delta_e2000_of(picture[:, :, :30], found[:, :, :30]) <= 2.6
    assert (found[:, :, 30:].int() - 255).abs().max() <= 1


def delta_e2000_of(before: Tensor, after: Tensor) -> float:
    was, now = (srgb_to_lab(p.flatten(1).T / 255) for p in (before, after))
    return float(delta_e_2000(was, now).max())


def test_light_is_smooth_and_the_same_in_pieces_in_company_and_beside_padding(
    grade: ReferenceGrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    style = torch.cat((grade.encode_style([dead_leaves(1)])[:, :-3], torch.tensor([[0.3, 0.2, -0.6]])), dim=1)
    flat, photo = torch.full((3, 97, 131), 140, dtype=torch.uint8), dead_leaves(2, 97, 131)
    found = grade.run(batch(flat), style, LIT)[0].int()
    assert found.amax() - found.amin() > 30
    assert max(int(found.diff(dim=axis).abs().max()) for axis in (1, 2)) <= 3

    alone = grade.run(batch(photo), style, LIT)[0]
    padded = torch.full((2, 3, 120, 140), 255, dtype=torch.uint8)
    padded[1, :, :97, :131], padded[0, :, :50, :140] = photo, 30
    company = Batch(images=padded, sizes=[(50, 140), (97, 131)])
    assert torch.equal(grade.run(company, style, LIT)[1, :, :97, :131], alone)
    monkeypatch.setattr("worker.networks.colour_table._PIXELS_AT_ONCE", 7 * 131)
    for rows in (1, 10, 96):
        monkeypatch.setattr("worker.pipelines.by_table._TILE_PIXELS", rows * 131)
        assert torch.equal(grade.run_tiled(batch(photo), style, LIT)[0], alone), f"seams every {rows} rows"


def test_product_and_background_get_what_the_recipe_says() -> None:
    picture = dead_leaves(3, 60, 80)
    mask = torch.zeros(1, 1, 60, 80, dtype=torch.uint8)
    mask[..., 20:60] = 255
    company = dataclasses.replace(batch(picture), masks=mask, background_strength=0.0)
    table = wild_table(2, 33)
    whole, masked = (
        run_by_table(each, lambda _: table, FULL, ordered=True, light=VIGNETTE)[0] for each in (batch(picture), company)
    )
    assert torch.equal(masked[:, :, 20:60], whole[:, :, 20:60])
    assert torch.equal(masked[:, :, :20], picture[:, :, :20])
    nothing = FULL | {"strength": 0.0}
    assert torch.equal(run_by_table(batch(picture), lambda _: table, nothing, light=VIGNETTE)[0], picture)
    assert torch.equal(run_by_table_tiled(company, lambda _: table, FULL, ordered=True, light=VIGNETTE)[0], masked)


def test_without_it_recipes_pictures_and_fingerprints_are_as_before(grade: ReferenceGrade) -> None:
    card = CardShelf().get("reference-grade")
    assert card.complete({"local_light": 0.0}) == card.complete({}) == {"strength": 1.0, "keep_white": True}
    assert card.complete({"local_light": 0.5})["local_light"] == 0.5
    prints = {
        fingerprint(
            Recipe(model="reference-grade", style="x", parameters=card.complete(asked)),
            weights_sha256="w",
            style_sha256="s",
        )
        for asked in ({}, {"local_light": 0.0}, {"local_light": 1.0})
    }
    assert len(prints) == 2
    lit = [under(dead_leaves(4), stops_of_vignette(160, 200))]
    style, photo = grade.encode_style(lit), dead_leaves(5)
    plain, none, some = (grade.run(batch(photo), style, FULL | more) for more in ({}, {"local_light": 0}, LIT))
    assert torch.equal(plain, none)
    assert not torch.equal(plain, some)


def test_a_table_with_local_light_is_refused(grade: ReferenceGrade) -> None:
    style = grade.encode_style([dead_leaves(4)])
    with pytest.raises(ValueError, match="local_light"):
        grade.tables(batch(dead_leaves(5)), style, LIT)
    assert grade.tables(batch(dead_leaves(5)), style, FULL).shape == (1, 3, 33, 33, 33)


def test_models_that_are_trained_anew_have_what_the_shipped_one_has() -> None:
    shipped = json.loads((BUILT_IN / "reference-grade" / "model.json").read_text())
    assert shipped["parameters"] == CARD["parameters"]
    assert shipped["limits"] == CARD["limits"]
