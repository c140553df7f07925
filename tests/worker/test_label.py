"""Labels: the very words, all of them on the card, the largest that fit, easy to read; or a reason."""

from __future__ import annotations

import font_roboto
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from jobs.errors import ErrorCode, ImageRejected
from jobs.labels import Label, label_url
from worker.images import PictureLimits
from worker.label import MIN_TEXT_PX, draw_label, ink, typeset
from worker.sources import decode_source, inspect_source

LONG = Label(
    title="Große Schüssel aus geöltem Olivenholz, von Hand gedrechselt",
    price="1.249,00 €",
    lines=("Ø 38 cm · H 14 cm", "Herkunft: Kalabrien", "Каждая — единственная"),
    colour="#1d3557",
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.text("Wild öl-Æ.9", min_size=1, max_size=14).filter(str.strip), min_size=1, max_size=6),
    st.text("0123456789 ,.€", max_size=10),
    st.lists(st.text("abc Ω ж (5%)", max_size=40), max_size=4),
    st.integers(200, 900),
    st.integers(200, 900),
)
def test_every_word_is_there_once_in_order_and_inside_of_the_card(
    title: list[str], price: str, lines: list[str], width: int, height: int
) -> None:
    label = Label(title=" ".join(title), price=price, lines=tuple(lines), width_px=width, height_px=height)
    try:
        found = typeset(label)
    except ImageRejected:
        return
    asked = " ".join([label.title, *label.lines, label.price]).split()
    assert " ".join(words.text for words in found).split() == asked
    assert all(words.size_px >= MIN_TEXT_PX for words in found)
    edges = 0
    for words in found:
        font = ImageFont.truetype(_path(bold=words.bold), words.size_px, layout_engine=ImageFont.Layout.BASIC)
        left, top, right, bottom = font.getbbox(words.text)
        assert words.left + left >= 0
        assert words.left + right <= width
        assert words.top + bottom <= height
        assert words.top + top >= edges, "no line touches the one above it"
        edges = words.top + bottom if words.text.strip() else edges


def _path(*, bold: bool) -> str:
    return str(font_roboto.RobotoBold if bold else font_roboto.Roboto)


def test_words_are_as_large_as_the_card_lets_them_be() -> None:
    small, large = (typeset(Label(title="Mug", width_px=side, height_px=side)) for side in (100, 800))
    assert large[0].size_px > 7 * small[0].size_px
    picture = draw_label(Label(title="Mug", price="12,50 €", colour="#c8102e"))
    dark = (np.abs(picture.pixels.astype(int) - (0xC8, 0x10, 0x2E)).max(2) > 60).any(0)
    assert np.flatnonzero(dark)[-1] > 0.9 * picture.width, "the price reaches to the margin"


def test_a_label_is_a_card_with_round_corners_and_a_hole_and_equal_ones_are_equal_bytes() -> None:
    made = draw_label(LONG)
    assert made.alpha is not None
    assert (made.alpha[0, 0], made.alpha[200, 44], made.alpha[10, 300]) == (0, 0, 255)
    url = label_url(LONG)
    header = inspect_source(url, (), PictureLimits())
    again = decode_source(url, (), PictureLimits())
    assert (header.width, header.height) == (again.width, again.height) == (640, 400)
    assert np.array_equal(again.pixels, made.pixels)
    with pytest.raises(ImageRejected, match="640 x 400"):
        inspect_source(url, (), PictureLimits(max_pixels=1000))


@given(st.tuples(*3 * [st.integers(0, 255)]))
def test_words_can_be_read_on_any_colour(channels: tuple[int, int, int]) -> None:
    colour = "#" + bytes(channels).hex()
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels]
    light = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    of_ink = 0.0 if ink(colour) == "#000000" else 1.0
    assert (max(light, of_ink) + 0.05) / (min(light, of_ink) + 0.05) > 4.5


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (Label(title="Lampe", price="89 €", lines=("E27",), width_px=64, height_px=64), "do not fit"),
        (Label(title="Donaudampfschifffahrtsgesellschaft" * 3, width_px=300, height_px=300), "do not fit"),
        (Label(title="Mug 磁器"), "no letter for 器 磁"),
    ],
)
def test_what_cannot_be_set_as_it_is_is_an_error_and_no_shorter_label(label: Label, message: str) -> None:
    with pytest.raises(ImageRejected, match=message) as caught:
        draw_label(label)
    assert caught.value.code == ErrorCode.LABEL_UNFIT
