"""What a picture of the studio promises: its mask is exact, its light is light, its bytes repeat."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from studio import Product, View, render
from studio.fields import ball
from studio.kinds import KINDS
from studio.product import BackgroundName, Colour, Kind, LightName, Material
from studio.tracing import march

SIDE = 96
MUG = Product(kind="mug", colour="coral", material="ceramic", light="soft-left", background="linen", seed=3)


def drawn(product: Product, side: int = SIDE):
    return render(product, width=side, height=side)


def test_the_same_product_gives_the_same_bytes():
    first, second = drawn(MUG), drawn(MUG)

    assert first.pixels.tobytes() == second.pixels.tobytes()
    assert first.mask.tobytes() == second.mask.tobytes()


def test_another_seed_gives_other_specks_and_the_same_mask():
    speckled = replace(MUG, pattern="speckled", second="black")

    one, other = drawn(speckled), drawn(replace(speckled, seed=4))

    assert (one.pixels != other.pixels).any()
    assert np.array_equal(one.mask, other.mask)


def test_a_picture_has_the_size_that_was_asked_for():
    rendering = render(MUG, width=120, height=70)

    assert rendering.pixels.shape == (70, 120, 3)
    assert rendering.mask.shape == (70, 120)
    assert rendering.pixels.dtype == rendering.mask.dtype == np.uint8


def test_a_picture_too_small_to_see_anything_is_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"15x40 px.*at least 16 px"):
        render(MUG, width=15, height=40)


def test_the_mask_of_a_ball_covers_the_disc_that_geometry_says():
    rendering = render(Product(kind="toy", shape=1, colour="coral", material="plastic"), width=200, height=200)
    rows, columns = np.nonzero(rendering.mask > 127)
    across, down = np.ptp(columns) + 1, np.ptp(rows) + 1
    area = rendering.mask.sum() / 255

    assert abs(int(across) - int(down)) <= 1
    assert area == pytest.approx(np.pi / 4 * across * down, rel=0.02)


def test_the_edge_of_the_mask_is_soft_and_the_rest_is_full_or_empty():
    mask = drawn(MUG, 160).mask
    partly = (mask > 0) & (mask < 255)

    assert 0.005 < partly.mean() < 0.06
    assert (mask == 255).mean() > 0.15
    # Every partly covered pixel has a neighbour that is emptier and one that is fuller.
    padded = np.pad(mask, 1).astype(int)
    around = np.stack([padded[1 + a : 161 + a, 1 + b : 161 + b] for a in (-1, 0, 1) for b in (-1, 0, 1)])
    assert (around.max(0)[partly] > mask[partly]).mean() > 0.95
    assert (around.min(0)[partly] < mask[partly]).mean() > 0.95


def test_a_finer_picture_agrees_with_a_coarse_one_on_what_is_covered():
    coarse, fine = drawn(MUG, 64).mask, drawn(MUG, 256).mask
    reduced = fine.reshape(64, 4, 64, 4).mean((1, 3))

    assert np.abs(coarse - reduced).mean() < 2.0
    assert np.abs(coarse - reduced).max() < 90


def test_the_product_is_inside_the_mask_and_the_paper_outside():
    rendering = drawn(MUG, 128)
    red_over_blue = rendering.pixels[:, :, 0].astype(int) - rendering.pixels[:, :, 2]
    outside = rendering.mask == 0

    assert np.median(red_over_blue[rendering.mask == 255]) > 60  # coral
    assert red_over_blue[outside].max() < 45  # linen


def test_the_shadow_falls_outside_the_mask_on_the_side_away_from_the_lamp():
    ball_on_paper = Product(kind="toy", shape=1, colour="white", material="plastic", background="linen")
    from_left = drawn(replace(ball_on_paper, light="soft-left"), 128)
    from_right = drawn(replace(ball_on_paper, light="soft-right"), 128)
    free = (from_left.mask == 0) & (from_right.mask == 0)
    left, right = from_left.pixels.mean(2), from_right.pixels.mean(2)
    low = np.arange(128)[:, None] > 64
    on_right, on_left = np.arange(128)[None, :] > 64, np.arange(128)[None, :] < 64

    assert left[free & low & on_right].mean() < right[free & low & on_right].mean() - 1
    assert right[free & low & on_left].mean() < left[free & low & on_left].mean() - 1


def test_light_and_background_change_the_pixels_and_never_the_mask():
    reference = drawn(MUG)
    changed = [replace(MUG, light=light) for light in get_args(LightName) if light != MUG.light]
    changed += [replace(MUG, background=name) for name in get_args(BackgroundName) if name != MUG.background]

    for product in changed:
        rendering = drawn(product)
        assert np.array_equal(rendering.mask, reference.mask), product
        assert np.abs(rendering.pixels.astype(int) - reference.pixels).mean() > 0.5, product


def test_white_paper_is_pure_white_away_from_the_product():
    rendering = drawn(replace(MUG, background="white"), 128)

    assert (rendering.pixels[:12] == 255).all()
    assert (rendering.pixels[rendering.mask == 0] < 250).any()  # but the mug stands on a shadow


def test_a_cut_out_has_no_shadow_and_no_fringe_of_paper():
    rendering = drawn(replace(MUG, background="none", colour="navy", second="navy"), 160)
    edge = (rendering.mask > 0) & (rendering.mask < 255)

    assert (rendering.pixels[rendering.mask == 0] == 255).all()
    # A fringe would make the edge as bright as a mix with white paper; the product's own colour is dark.
    assert np.median(rendering.pixels[edge].mean(1)) < 110


@pytest.mark.parametrize("kind", get_args(Kind))
def test_each_kind_stands_whole_in_the_picture_in_each_of_its_forms(kind: Kind):
    for shape in range(3):
        product = Product(kind=kind, shape=shape, colour="teal", material="plastic", view=View(azimuth=-20, fill=0.8))
        rendering = drawn(product, 64)
        mask = rendering.mask
        assert 0.05 < (mask > 127).mean() < 0.75
        border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert not border.any()
        inside = rendering.pixels[mask == 255].astype(int)
        assert np.std(inside.mean(1)) > 4  # lit, not flat
        assert (inside.max(1) < 8).mean() < 0.02  # no black blobs


def test_kinds_differ_in_outline():
    masks = {kind: drawn(Product(kind=kind, colour="teal", material="plastic"), 64).mask > 127 for kind in KINDS}

    for kind, mask in masks.items():
        for other, theirs in masks.items():
            if kind < other:
                assert (mask & theirs).sum() / (mask | theirs).sum() < 0.93, (kind, other)


def test_colours_come_out_as_different_colours():
    means = {}
    for colour in get_args(Colour):
        rendering = drawn(Product(kind="vase", colour=colour, material="ceramic", background="none"), 48)
        means[colour] = rendering.pixels[rendering.mask == 255].mean(0)

    pairs = [(a, b) for a in means for b in means if a < b]
    assert min(np.abs(means[a] - means[b]).max() for a, b in pairs) > 3


@pytest.mark.parametrize("material", get_args(Material))
def test_every_material_answers_light(material: Material):
    pixels = drawn(replace(MUG, material=material), 48).pixels

    assert pixels.max() > 120


def test_a_ray_stops_where_the_ball_is_and_a_ray_beside_it_never():
    eye = np.array([0, 0, 5], np.float32)
    rays = np.array([[0, 0.5], [0, 0], [-1, -1]], np.float32)
    rays /= np.sqrt((rays * rays).sum(0))

    distance = march(ball((0, 0, 0), 1.0), eye, rays, np.zeros(2, np.float32), 20.0)

    assert distance[0] == pytest.approx(4.0, abs=0.001)
    assert np.isinf(distance[1])
