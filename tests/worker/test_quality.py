"""Each measure, on pictures of which the right answer is known, in both directions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from jobs.measures import MEASURES
from tests.worker.drawn import blurred, draw_product, graded, noisy, only_inside
from worker.networks.colour import srgb_to_lab
from worker.quality.ciede2000 import ciede2000
from worker.quality.colours import colour_shift, dominant_colours
from worker.quality.item import measure_item
from worker.quality.looking import luminance, thinned
from worker.quality.nearest import descriptor, taken_for
from worker.quality.sharpness import sharpness
from worker.quality.silhouette import iou, silhouette, silhouette_iou
from worker.quality.similarity import psnr_db, ssim, structure
from worker.quality.style import palette, style_distance

GROUND = (40, 90, 160)

# L1 a1 b1, L2 a2 b2, ΔE2000: table 1 of Sharma, Wu & Dalal 2005.
PUBLISHED = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425; 50 3.1571 -77.2803 50 0 -82.7485 2.8615; 50 2.8361 -74.02 50 0 -82.7485 3.4412;
50 -1.3802 -84.2814 50 0 -82.7485 1; 50 -1.1848 -84.8006 50 0 -82.7485 1; 50 -0.9009 -85.5211 50 0 -82.7485 1;
50 0 0 50 -1 2 2.3669; 50 -1 2 50 0 0 2.3669; 50 2.49 -0.001 50 -2.49 0.0009 7.1792;
50 2.49 -0.001 50 -2.49 0.001 7.1792; 50 2.49 -0.001 50 -2.49 0.0011 7.2195; 50 2.49 -0.001 50 -2.49 0.0012 7.2195;
50 -0.001 2.49 50 0.0009 -2.49 4.8045; 50 -0.001 2.49 50 0.001 -2.49 4.8045; 50 -0.001 2.49 50 0.0011 -2.49 4.7461;
50 2.5 0 50 0 -2.5 4.3065; 50 2.5 0 73 25 -18 27.1492; 50 2.5 0 61 -5 29 22.8977; 50 2.5 0 56 -27 -3 31.903;
50 2.5 0 58 24 15 19.4535; 50 2.5 0 50 3.1736 0.5854 1; 50 2.5 0 50 3.2972 0 1; 50 2.5 0 50 1.8634 0.5757 1;
50 2.5 0 50 3.2592 0.335 1; 60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644;
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.263; 61.2901 3.7196 -5.3901 61.4292 2.248 -4.962 1.8731;
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645; 22.7233 20.0904 -46.694 23.0331 14.973 -42.5619 2.0373;
36.4612 47.858 18.3852 36.2715 50.5065 21.2231 1.4146; 90.8027 -2.0831 1.441 91.1528 -1.6435 0.0447 1.4441;
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381; 6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377;
2.0776 0.0795 -1.135 0.9033 -0.0636 -0.5514 0.9082
"""


@pytest.fixture(scope="module")
def product() -> tuple[Tensor, Tensor]:
    return draw_product()


def plain(colour: tuple[int, int, int], side: int = 32) -> Tensor:
    return torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(3, side, side).contiguous()


def lab_of(colour: tuple[int, int, int]) -> Tensor:
    return srgb_to_lab(torch.tensor(colour, dtype=torch.float64) / 255)


def test_the_published_pairs_have_their_published_difference() -> None:
    pairs = torch.tensor(
        [[float(number) for number in row.split()] for row in PUBLISHED.split(";")], dtype=torch.float64
    )
    assert pairs.shape == (34, 7)
    for first, second in ((pairs[:, :3], pairs[:, 3:6]), (pairs[:, 3:6], pairs[:, :3])):
        assert (ciede2000(first, second) - pairs[:, 6]).abs().max() < 1e-4


def test_noise_of_a_known_size_has_its_known_ratio_and_equal_pictures_have_the_highest() -> None:
    grey = plain((100, 100, 100))
    assert psnr_db(grey, grey) == 99
    assert psnr_db(grey, grey + 10) == pytest.approx(20 * math.log10(255 / 10))
    assert psnr_db(grey, grey + 20) == pytest.approx(20 * math.log10(255 / 20))


def test_similarity_is_that_of_the_paper_as_another_library_has_it(product: tuple[Tensor, Tensor]) -> None:
    picture, _ = product
    for other in (blurred(picture, 2), noisy(picture, 12), graded(picture), 255 - picture):
        a, b = (luminance(each).numpy() for each in (picture, other))
        known = structural_similarity(
            a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )  # type: ignore[no-untyped-call]
        assert ssim(picture, other) == pytest.approx(known, abs=1e-3)
        assert ssim(picture, other, stride=4) == pytest.approx(known, abs=0.02)
    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(picture, 255 - picture) < 0.5


def test_structure_forgives_a_grade_and_no_moved_edge(product: tuple[Tensor, Tensor]) -> None:
    picture, mask = product
    assert structure(picture, picture) == pytest.approx(1)
    assert structure(picture, graded(picture)) > 0.9
    assert structure(picture, graded(picture), mask) > 0.9
    assert structure(picture, picture.roll(3, -1), mask) < 0.6
    assert structure(picture, blurred(picture, 3), mask) < 0.6
    assert structure(picture, draw_product(label="ANOTHER 17")[0], mask) < 0.95


def test_structure_sees_the_product_alone_where_there_is_a_mask(product: tuple[Tensor, Tensor]) -> None:
    picture, mask = product
    busy = noisy(plain(GROUND, 256), 40)
    elsewhere = only_inside(mask, picture, busy)
    assert structure(picture, elsewhere, mask) == pytest.approx(1, abs=1e-6)
    assert structure(picture, elsewhere) < 0.6
    damaged = only_inside(mask, blurred(picture, 3), picture)
    assert structure(picture, damaged, mask) < 0.6


def test_blur_and_noise_show_in_the_sharpness_and_contrast_does_not(product: tuple[Tensor, Tensor]) -> None:
    picture, mask = product
    softer = (picture * 0.6 + 40).round().to(torch.uint8)
    for region in (None, mask):
        assert sharpness(picture, picture, region) == 1
        assert sharpness(picture, softer, region) == pytest.approx(1, abs=0.03)
        assert sharpness(picture, blurred(picture, 1), region) < 0.8
        assert sharpness(blurred(picture, 1), picture, region) > 1.25
        assert sharpness(blurred(picture, 1), noisy(blurred(picture, 1), 12), region) > 1.25
    only_ground = only_inside(mask, picture, noisy(picture, 20))
    assert sharpness(picture, only_ground, mask) == pytest.approx(1, abs=1e-3)


def test_a_blur_of_one_pixel_shows_in_a_large_picture() -> None:
    large = torch.from_numpy(np.random.default_rng(3).integers(0, 255, (3, 900, 700), dtype=np.uint8))
    large = blurred(large, 1.5)
    assert sharpness(large, blurred(large, 1)) < 0.9


def test_the_outline_is_where_the_product_is_and_stays_under_a_grade(product: tuple[Tensor, Tensor]) -> None:
    picture, mask = product
    found = silhouette(picture)
    assert found is not None
    assert iou(found, mask) > 0.98
    for other in (graded(picture), blurred(picture, 1)):
        assert (silhouette_iou(picture, other) or 0) > 0.95


def test_a_product_that_moved_or_grew_overlaps_as_much_as_its_masks_do(product: tuple[Tensor, Tensor]) -> None:
    picture, mask = product
    for changed, its_mask in (draw_product(at=(0.6, 0.5)), draw_product(size=0.6)):
        assert silhouette_iou(picture, changed) == pytest.approx(iou(mask, its_mask), abs=0.03)
        assert iou(mask, its_mask) < 0.8
    busy = only_inside(mask, picture, noisy(plain(GROUND, 256), 40))
    assert silhouette_iou(picture, busy) is silhouette_iou(busy, picture) is None
    found = silhouette(plain(GROUND))
    assert found is not None
    assert not found.any()
    assert silhouette_iou(plain(GROUND), picture[:, :32, :32]) is None, "there is no outline to keep"


def test_overlap_is_intersection_over_union() -> None:
    a, b = torch.tensor([[0, 255, 255, 0]]), torch.tensor([[0, 0, 255, 255]])
    assert iou(a, b) == pytest.approx(1 / 3)
    assert (iou(a, a), iou(a, 255 - a), iou(a * 0, b * 0)) == (1, 0, 1)


def test_the_dominant_colours_are_those_that_are_there_most() -> None:
    wanted = torch.stack([lab_of(colour).float() for colour in ((200, 30, 30), (20, 160, 60), (30, 40, 190))])
    many = wanted.repeat_interleave(torch.tensor([500, 300, 200]), dim=0)
    found = dominant_colours(many)
    assert torch.cdist(wanted, found).amin(1).max() < 1e-3


def test_a_colour_that_moved_has_moved_by_its_difference() -> None:
    before, after = (200, 60, 50), (180, 80, 40)
    known = float(ciede2000(lab_of(before), lab_of(after)))
    assert colour_shift(plain(before), plain(after)) == pytest.approx(known, abs=1e-3)
    assert colour_shift(plain(before), plain(before)) == 0
    half = torch.cat((plain(after)[:, :16], plain(before)[:, 16:]), dim=1)
    assert colour_shift(plain(before), half) < known


def test_the_products_colours_count_and_neither_noise_nor_the_background(product: tuple[Tensor, Tensor]) -> None:
    picture, mask = product
    assert colour_shift(picture, noisy(picture, 4), mask) < 1
    assert colour_shift(picture, only_inside(mask, picture, plain(GROUND, 256)), mask) == 0
    assert colour_shift(picture, only_inside(mask, picture, plain(GROUND, 256))) > 10
    assert colour_shift(picture, only_inside(mask, graded(picture), picture), mask) > 3


def test_a_picture_of_the_styles_colours_is_near_whatever_it_shows(product: tuple[Tensor, Tensor]) -> None:
    picture, _ = product
    style = graded(picture)
    wanted = palette([style])
    shuffled = style.flatten(1)[:, torch.randperm(256 * 256, generator=torch.Generator().manual_seed(1))]
    assert style_distance(style, wanted) == 0
    assert style_distance(shuffled.view_as(style), wanted) < 1
    assert style_distance(picture, wanted) > 10
    half_way = ((picture.float() + style) / 2).round().to(torch.uint8)
    assert 3 < style_distance(half_way, wanted) < style_distance(picture, wanted) - 3
    light, dark = plain((150, 150, 150)), plain((100, 100, 100))
    apart = float(lab_of((150, 150, 150))[0] - lab_of((100, 100, 100))[0])
    assert style_distance(light, palette([dark])) == pytest.approx(apart, rel=0.05)


def test_a_restyled_product_is_taken_for_itself_and_a_swapped_one_is_found_out() -> None:
    made = [draw_product(128, at=(0.4, 0.5)), draw_product(128, size=0.7, label=""), draw_product(128, label="OTHER")]
    originals = torch.stack([descriptor(picture) for picture, _ in made])
    restyled = torch.stack([descriptor(255 - graded(picture)) for picture, _ in made])
    assert taken_for(originals, restyled) == [0, 1, 2]
    assert taken_for(originals, restyled[[0, 2, 1]]) == [0, 2, 1]
    twins = torch.cat((originals, originals[:1]))
    assert taken_for(twins, torch.cat((restyled, restyled[:1]))) == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (12, 9), (257, 1031)], ids=str)
def test_every_measure_takes_a_picture_of_any_size_and_stays_in_its_range(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(size[0])
    picture = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
    mask = (torch.rand(1, *size, generator=generator) < 0.5).to(torch.uint8) * 255
    for product in (None, mask, mask * 0):
        for other in (picture, 255 - picture):
            found = measure_item(picture, other, mask=product, palette=palette([picture]))
            assert set(found) >= set(MEASURES) - {"silhouette_iou"}
            for name, value in found.items():
                assert MEASURES[name].least <= value <= MEASURES[name].most, name


def test_an_equal_picture_has_the_best_of_every_figure_whatever_its_size(product: tuple[Tensor, Tensor]) -> None:
    picture, mask = product
    large = picture.repeat_interleave(3, 1).repeat_interleave(5, 2)
    for each in (picture, large):
        found = measure_item(each, each.clone(), palette=palette([each]))
        assert found.pop("style_distance") < 0.5, "of a sample of its own colours"
        assert found == {
            "psnr_db": 99,
            "ssim": 1,
            "structure": 1,
            "sharpness": 1,
            "silhouette_iou": 1,
            "colour_shift": 0,
        }
    assert "style_distance" not in measure_item(picture, picture, mask=mask)
    assert math.prod(thinned(large, 256).shape[1:]) <= 256**2
