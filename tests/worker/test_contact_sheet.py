from __future__ import annotations

import base64
import io
import re
import tracemalloc
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from worker.contact_sheet import MOST_FAILURES, MOST_PAIRS, THUMBNAIL_PX, Entry, Pixels, render

RED, BLUE = (200, 30, 30), (30, 30, 200)
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def flat(colour: tuple[int, int, int], width: int = 640, height: int = 480) -> Pixels:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def noise(side: int, seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def entry(label: str = "mug.jpg", note: str = "") -> Entry:
    return Entry(before=flat(RED), after=flat(BLUE), label=label, note=note)


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "src":
                self.pictures.append(value or "")
            if name in ("src", "href", "srcset", "action"):
                self.addresses.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data

    def picture(self, number: int) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(self.pictures[number].split(",", 1)[1])))


def near(colour: object, wanted: tuple[int, int, int]) -> bool:
    assert isinstance(colour, tuple)
    return all(abs(have - want) < 12 for have, want in zip(colour, wanted, strict=True))


def test_the_page_shows_before_and_after_in_this_order() -> None:
    html, _ = render([entry()], title="Dusk", facts={"model": "reinhard"})

    page = Page(html)
    assert len(page.pictures) == 2
    assert near(page.picture(0).getpixel((9, 9)), RED)
    assert near(page.picture(1).getpixel((9, 9)), BLUE)
    assert all(word in page.text for word in ("Dusk", "model", "reinhard", "mug.jpg"))


def test_the_page_needs_nothing_but_itself() -> None:
    html, _ = render([entry()], title="Dusk", facts={})

    page = Page(html)
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert "link" not in page.tags
    assert not re.search(rb"https?://|@import|url\(", html)


def test_the_png_shows_before_left_of_after() -> None:
    _, png = render([entry()], title="Dusk", facts={"model": "reinhard"})

    assert png.startswith(PNG_MAGIC)
    sheet = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    left = np.argwhere(np.abs(sheet - RED).max(axis=2) < 12)
    right = np.argwhere(np.abs(sheet - BLUE).max(axis=2) < 12)
    assert len(left) == len(right) > 10_000
    assert left[:, 1].max() < right[:, 1].min()


def test_what_was_made_of_nothing_is_shown_once() -> None:
    made = Entry(before=None, after=flat(BLUE), label="A77-1.png", note="mug, teal")

    html, png = render([made, entry()], title="Dusk", facts={})

    page = Page(html)
    assert len(page.pictures) == 3
    assert near(page.picture(0).getpixel((9, 9)), BLUE)
    assert page.tags.count("input") == 2 + 1  # of the head, and one slider
    assert "mug, teal" in page.text
    sheet = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    blue, red = ((np.abs(sheet - colour).max(axis=2) < 12).sum() for colour in (BLUE, RED))
    assert blue > 1.9 * red


def test_thumbnails_keep_the_shape_of_the_picture() -> None:
    tall = Entry(before=flat(RED, 300, 1200), after=flat(BLUE, 300, 1200), label="lamp.jpg")

    page = Page(render([tall], title="", facts={})[0])

    assert page.picture(0).size == (THUMBNAIL_PX // 4, THUMBNAIL_PX)


def test_a_file_s_bytes_will_do_as_a_picture() -> None:
    file = io.BytesIO()
    Image.fromarray(flat(RED)).save(file, "PNG")

    page = Page(render([Entry(before=file.getvalue(), after=flat(BLUE), label="x")], title="", facts={})[0])

    assert near(page.picture(0).getpixel((9, 9)), RED)


def test_names_of_strangers_stay_text() -> None:
    evil = '<script>alert(1)</script>"><img src=http://evil.example/>'

    html, _ = render([entry(evil, evil)], title=evil, facts={evil: evil}, failures=[(evil, evil)])

    page = Page(html)
    assert len(page.pictures) == 2
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text


def test_failures_are_listed_with_their_reasons() -> None:
    html, _ = render([entry()], title="", facts={}, failures=[("boots.jpg", "truncated"), ("hat.jpg", "too_large")])

    text = Page(html).text
    assert all(word in text for word in ("boots.jpg", "truncated", "hat.jpg", "too_large"))


def test_many_failures_are_counted_instead_of_listed() -> None:
    failures = [(f"{number}.jpg", "truncated") for number in range(MOST_FAILURES + 7)]

    text = Page(render([], title="", facts={}, failures=failures)[0]).text

    assert f"{MOST_FAILURES - 1}.jpg" in text
    assert f"{MOST_FAILURES}.jpg" not in text
    assert "and 7 more" in text


def test_a_job_without_a_picture_has_a_sheet_too() -> None:
    html, png = render([], title="Nothing", facts={"items": "0"})

    assert "No picture to show" in Page(html).text
    assert png.startswith(PNG_MAGIC)


def test_labels_in_any_script_and_of_any_length_are_drawn() -> None:
    labels = ["чашка 茶碗 ☕", "x" * 4000, "", "two\nlines"]

    html, png = render([entry(label, label) for label in labels], title="☕" * 300, facts={"x": "y" * 900})

    assert Image.open(io.BytesIO(png)).width < 2500
    assert "чашка 茶碗 ☕" in Page(html).text


def test_a_sheet_is_small_and_its_memory_bounded_however_large_the_job_is() -> None:
    """The worst that pictures can be is noise, which no encoder shrinks."""
    asked = 0

    def entries() -> Iterator[Entry]:
        nonlocal asked
        for number in range(1000):
            asked += 1
            yield Entry(before=noise(1200, number), after=noise(1200, number), label=f"{number}.jpg")

    tracemalloc.start()
    html, png = render(entries(), title="", facts={})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert asked == MOST_PAIRS
    assert len(Page(html).pictures) == 2 * MOST_PAIRS
    assert len(html) < 9_000_000
    assert len(png) < 10_000_000
    assert most < 100_000_000


def test_the_same_pictures_give_the_same_bytes() -> None:
    assert render([entry()], title="a", facts={"b": "c"}) == render([entry()], title="a", facts={"b": "c"})
