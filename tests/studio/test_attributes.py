"""Each word of a product changes what it should in the picture and its layers, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from studio import VOCABULARY, Product, View, render
from studio.captions import caption
from studio.choices import FORMS, apart, patterns_of, suits
from studio.palette import COLOURS
from studio.product import Proportions, Season
from studio.render import Rendering
from studio.sampling import sample

SIDE = 72
MUG = Product(kind="mug", colour="coral", material="ceramic", pattern="stripes", second="white", seed=3)


def drawn(product: Product, side: int = SIDE) -> Rendering:
    return render(product, width=side, height=side)


def box_of(mask: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero(mask > 127)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


@pytest.mark.parametrize(
    "changed",
    [{"colour": "teal"}, {"second": "navy"}, {"pattern": "dots"}, {"light": "evening"}, {"background": "slate"}]
    + [{"season": season} for season in get_args(Season)[1:]]
    + [{"material": "metal"}, {"seed": 9, "season": "autumn"}],
)
def test_paint_light_paper_and_season_leave_the_shape_as_it_is(changed: dict[str, str]):
    before, after = drawn(MUG), drawn(replace(MUG, **changed))

    assert (before.pixels != after.pixels).mean() > 0.02
    for layer in ("mask", "depth", "edges"):
        assert np.array_equal(getattr(before, layer), getattr(after, layer)), layer


def test_a_grain_roughens_the_light_and_not_the_depth_or_the_lines():
    smooth = Product(kind="bag", colour="rust", material="wax")
    before, after = drawn(smooth), drawn(replace(smooth, material="leather"))

    assert (before.pixels != after.pixels).any()
    assert np.array_equal(before.depth, after.depth)
    assert np.array_equal(before.edges, after.edges)


@pytest.mark.parametrize("kind", ["mug", "chair", "watch"])
def test_tall_is_more_slender_than_regular_and_wide_less(kind: str):
    slender = {}
    for word in get_args(Proportions):
        high, wide = box_of(drawn(replace(MUG, kind=kind, pattern="plain", proportions=word)).mask)
        slender[word] = high / wide

    assert slender["tall"] > 1.2 * slender["regular"] > 1.4 * slender["wide"]


def test_a_view_has_the_word_for_where_the_camera_stands():
    assert View(azimuth=0, elevation=12).name == "front"
    assert View(azimuth=-30, elevation=12).name == "left"
    assert View(azimuth=30, elevation=12).name == "right"
    assert View(azimuth=-30, elevation=42).name == "above"
    left, right = (drawn(replace(MUG, view=View(azimuth=azimuth))).mask for azimuth in (-40, 40))
    assert (left != right).mean() > 0.02, "the handle comes nearer or goes away"


@pytest.mark.parametrize("number", range(15))
def test_mask_depth_and_edges_agree_on_every_kind(number: int):
    product = sample(number, seed=5)
    rendering = drawn(product)
    there = rendering.mask > 0

    assert rendering.depth.dtype == np.float32
    assert np.array_equal(np.isfinite(rendering.depth), there)
    assert 1 < rendering.depth[there].min() < rendering.depth[there].max() < 32
    assert not rendering.edges[~there].any()
    lines = rendering.edges > 0
    assert 0.03 < lines[there].mean() < 0.95
    # Wherever the product begins, a line is within two pixels.
    solid = np.pad(rendering.mask > 127, 1)
    inner = solid[1:-1, 1:-1] & solid[:-2, 1:-1] & solid[2:, 1:-1] & solid[1:-1, :-2] & solid[1:-1, 2:]
    near = np.pad(lines, 2)
    near = np.any([near[a : a + SIDE, b : b + SIDE] for a in range(5) for b in range(5)], axis=0)
    border = solid[1:-1, 1:-1] & ~inner
    assert near[border].mean() > 0.98


def test_depth_is_what_geometry_says_of_a_ball():
    rendering = drawn(Product(kind="toy", shape=1, colour="coral", material="plastic", view=View(elevation=1)), 128)
    depth = rendering.depth

    # A ball of radius 0.6: its rim lies a radius behind its nearest point, but for perspective.
    assert depth[np.isfinite(depth)].max() - depth[np.isfinite(depth)].min() == pytest.approx(0.6, abs=0.12)
    assert np.unravel_index(np.argmin(depth), depth.shape)[1] == pytest.approx(64, abs=10)


def test_stripes_leave_no_line():
    plain, striped = (drawn(replace(MUG, pattern=pattern)) for pattern in ("plain", "stripes"))

    assert np.array_equal(plain.edges, striped.edges)
    assert plain.edges.any()


def test_samples_hold_every_word_and_only_what_can_be_seen():
    products = [sample(number, seed=0) for number in range(1500)]

    for attribute, words in VOCABULARY.items():
        assert {product.attributes[attribute] for product in products} == set(words), attribute
    assert all(suits(product) for product in products)
    assert len(set(products)) == len(products)
    assert len({product.kind for product in products[:15]}) == 15
    assert sample(77, seed=0) == products[77] != sample(77, seed=1)


def test_what_does_not_go_together_is_told_apart():
    product = next(
        product for product in (sample(number, seed=0) for number in range(99)) if product.material == "metal"
    )

    assert not suits(replace(product, pattern="checks"))
    assert not suits(replace(product, colour="oak"))
    assert not suits(replace(product, background="none", season="winter"))


def test_every_pattern_that_a_form_offers_shows_on_it():
    for kind, forms in FORMS.items():
        for form in forms:
            material = form.materials[0] if form.materials[0] != "metal" else form.materials[-1]
            offered = patterns_of(form, material)
            second = max(form.seconds, key=lambda word: apart(COLOURS[word], COLOURS["teal"]))
            view = View(azimuth=-12, elevation=24, fill=0.8)
            product = Product(
                kind=kind, shape=form.shape, colour="teal", material=material, second=second, view=view, seed=1
            )
            looks = [drawn(replace(product, pattern=pattern), 64).pixels.astype(int) for pattern in offered]
            for first, one in enumerate(looks):
                for second_place, other in enumerate(looks[:first]):
                    seen = (np.abs(one - other).max(2) > 20).sum()
                    assert seen >= 8, (kind, form.shape, offered[first], offered[second_place])


def test_a_caption_names_what_the_picture_shows():
    captions = {}
    for number in range(200):
        product = sample(number, seed=2)
        text = captions[product] = caption(product).lower()
        words = [product.kind, product.colour, product.material]
        words += [] if product.proportions == "regular" else [product.proportions]
        words += [] if product.season == "any" else [product.season]
        words += [product.view.name, *product.light.split("-")]
        words += ["cut out"] if product.background == "none" else [product.background]
        words += [product.pattern.rstrip("s")] if product.pattern != "dots" else ["dots"]
        assert all(word in text for word in words), (words, text)
    assert all(caption(product).lower() == text for product, text in captions.items())
    assert len({text.split()[0] for text in captions.values()}) >= 3, "not all sentences begin alike"
