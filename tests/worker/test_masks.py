"""Masks: from a file, from alpha, from a plain background; and how good the last are, where the truth is known."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from jobs.errors import ErrorCode, MaskRejected
from studio import Product, View, render
from tests.pictures import encoded
from worker.images import Picture, PictureLimits
from worker.masks import mask_of
from worker.plain_background import product_on_plain

LIMITS = PictureLimits()
Pixels = NDArray[np.uint8]


def picture(pixels: Pixels, alpha: Pixels | None = None) -> Picture:
    return Picture(pixels=pixels, alpha=alpha, source_format="png")


def disc(height: int = 60, width: int = 80) -> Pixels:
    y, x = np.mgrid[0:height, 0:width]
    return np.where(np.hypot(y - height / 2, x - width / 2) < min(height, width) / 3, 255, 0).astype(np.uint8)


def on_white(mask: Pixels) -> Pixels:
    return np.where(mask[..., None] > 0, np.array([180, 40, 60]), 250).astype(np.uint8)


def test_the_first_source_that_an_item_has_is_taken() -> None:
    plain = picture(on_white(disc()))
    half = np.zeros((60, 80), np.uint8)
    half[:, :40] = 255
    file = encoded(np.dstack(3 * [half]), "PNG")
    assert np.array_equal(mask_of(plain, file, None, LIMITS), half)
    assert np.array_equal(mask_of(picture(plain.pixels, half), None, None, LIMITS), half)
    opaque = np.full((60, 80), 255, np.uint8)
    found = mask_of(picture(plain.pixels, opaque), None, None, LIMITS)  # alpha that tells nothing
    assert (found[disc() > 0] > 128).mean() > 0.97
    assert np.array_equal(mask_of(picture(plain.pixels, half), file, "plain", LIMITS), found)


def test_a_mask_file_may_be_smaller_lie_on_its_side_or_be_a_cut_out() -> None:
    target = picture(on_white(disc()))
    small = mask_of(target, encoded(np.dstack(3 * [disc(30, 40)]), "PNG"), None, LIMITS)
    assert small.shape == (60, 80)
    assert (np.abs(small.astype(int) - disc()) > 128).mean() < 0.03
    lying = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right
    Image.fromarray(np.rot90(disc())).save(lying, "PNG", exif=exif)
    assert np.array_equal(mask_of(target, lying.getvalue(), None, LIMITS), disc())
    cut_out = encoded(np.dstack((np.zeros((60, 80, 3), np.uint8), disc())), "PNG")
    assert np.array_equal(mask_of(target, cut_out, None, LIMITS), disc())


@pytest.mark.parametrize(
    ("given", "source", "code"),
    [
        (None, "manifest", ErrorCode.MASK_MISSING),
        (None, "alpha", ErrorCode.MASK_MISSING),
        (b"no picture", None, ErrorCode.MASK_UNUSABLE),
        (encoded(np.dstack(3 * [disc(60, 60)]), "PNG"), None, ErrorCode.MASK_UNUSABLE),  # of another shape
        (encoded(np.zeros((60, 80, 3), np.uint8), "PNG"), None, ErrorCode.MASK_UNUSABLE),  # nothing is product
    ],
)
def test_a_mask_that_is_missing_or_of_no_use_is_refused_with_its_code(
    given: bytes | None, source: str | None, code: ErrorCode
) -> None:
    with pytest.raises(MaskRejected) as refusal:
        mask_of(picture(on_white(disc())), given, source, LIMITS)  # type: ignore[arg-type]
    assert refusal.value.code == code


def test_a_busy_background_is_not_taken_for_a_plain_one() -> None:
    random = np.random.default_rng(0)
    busy = Image.fromarray(random.integers(0, 255, (9, 12, 3), dtype=np.uint8)).resize((240, 180))
    assert product_on_plain(np.array(busy)) is None
    with pytest.raises(MaskRejected, match="plain background"):
        mask_of(picture(np.array(busy)), None, None, LIMITS)
    assert product_on_plain(np.full((100, 100, 3), 240, np.uint8)) is None  # nothing stands there


def test_a_white_label_inside_of_a_product_on_white_stays_product() -> None:
    pixels = on_white(disc(200, 200))
    pixels[90:110, 80:120] = 250
    found = product_on_plain(pixels)
    assert found is not None
    assert (found[90:110, 80:120] == 255).all()


@pytest.mark.parametrize("background", ["white", "grey", "sage"])
def test_products_of_the_studio_are_found_where_they_stand_out(background: str) -> None:
    """Their masks are known exactly; how good the masks are over many products is in docs/looks.md."""
    product = Product(kind="bottle", colour="navy", material="plastic", view=View(elevation=9), background=background)  # type: ignore[arg-type]
    drawn = render(product, width=160, height=160)
    found = product_on_plain(drawn.pixels)
    assert found is not None
    assert overlap(found, drawn.mask) > 0.85


def overlap(found: Pixels, wanted: Pixels) -> float:
    """Return intersection over union."""
    a, b = found >= 128, wanted >= 128
    return float((a & b).sum() / (a | b).sum())
