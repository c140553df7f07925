"""Another background: what is product stays bit by bit, and what is not becomes what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.looks import ColourBackground, GradientBackground, PictureBackground
from worker.backgrounds import NewBackground, compose

RANDOM = np.random.default_rng(0)
PRODUCT = RANDOM.integers(0, 256, (90, 120, 3), dtype=np.uint8)
BACKDROP = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (50, 200, 3))


def mask() -> np.ndarray:
    """A disc with a soft edge."""
    y, x = np.mgrid[0:90, 0:120]
    return ((35 - np.hypot(y - 45, x - 60)) * 64).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "background",
    [
        ColourBackground(colour="#F4efe6"),
        ColourBackground(colour="#000000", shadow=1.0),
        GradientBackground(top="#ffffff", bottom="#203040", shadow=0.5),
        PictureBackground(url="s3://shop/oak.jpg", shadow=0.3),
    ],
)
def test_the_products_own_pixels_stay_bit_by_bit_and_nothing_else_of_the_photo_does(background: NewBackground) -> None:
    found = compose(PRODUCT, mask(), background, BACKDROP)
    assert np.array_equal(found[mask() == 255], PRODUCT[mask() == 255])
    other = compose(255 - PRODUCT, mask(), background, BACKDROP)
    assert np.array_equal(found[mask() == 0], other[mask() == 0])
    edge = (mask() > 0) & (mask() < 255)
    assert edge.any()
    assert not np.array_equal(found[edge], other[edge])


def test_colours_gradients_and_pictures_come_out_as_they_were_given() -> None:
    empty = np.zeros((90, 120), np.uint8)
    plain = compose(PRODUCT, empty, ColourBackground(colour="#c8102e"), None)
    assert (plain == (0xC8, 0x10, 0x2E)).all()
    down = compose(PRODUCT, empty, GradientBackground(top="#102030", bottom="#fff0e0"), None)
    assert (down[0] == (0x10, 0x20, 0x30)).all()
    assert (down[-1] == (0xFF, 0xF0, 0xE0)).all()
    assert (np.diff(down[:, 0].astype(int), axis=0) >= 0).all()
    cover = compose(PRODUCT, empty, PictureBackground(url="s3://shop/oak.jpg"), BACKDROP)
    # 50 x 200 covers 90 x 120 at 1.8 times its size: the middle 67 of its 200 columns show.
    assert abs(int(cover[45, 0, 0]) - 67) <= 1
    assert abs(int(cover[45, -1, 0]) - 132) <= 1


def test_a_shadow_lies_below_the_product_is_soft_and_goes_with_its_strength() -> None:
    light = [compose(PRODUCT, mask(), ColourBackground(colour="#ffffff", shadow=s), None) for s in (0.0, 0.5, 1.0)]
    below = [picture[82, 60].mean() for picture in light]  # the disc ends at row 80
    assert below[0] == 255
    assert below[0] > below[1] + 4 > below[2] + 8
    assert light[2][5, 5].mean() == 255  # far away there is none
    outside = light[2][mask() == 0]
    assert len(np.unique(outside[:, 0])) > 10  # many shades


def test_a_product_that_reaches_the_lower_edge_has_its_shadow_cut_off() -> None:
    full = np.full((90, 120), 255, np.uint8)
    assert np.array_equal(compose(PRODUCT, full, ColourBackground(colour="#ffffff", shadow=1.0), None), PRODUCT)
