"""Comparison sheets: products cut out, equally large, on one line, in one light; and what one bad picture does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from jobs.claims import ClaimedItem
from jobs.database import Database
from jobs.errors import ErrorCode, ImageRejected, ObjectMissing, ObjectTooLarge
from jobs.sheets import Sheet, sheet_url
from jobs.states import ItemState
from jobs.storage import Storages
from tests import pictures
from tests.worker.test_stream import Bench, Flaky, Invert, prepared
from worker.comparison_sheet import MARGIN, compose_sheet
from worker.held import HeldLease
from worker.images import Picture, PictureLimits, decode
from worker.sources import decode_source, inspect_source, naming
from worker.stages import Stages
from worker.work import Work

CELL = 120
BOX = CELL - 2 * round(MARGIN * CELL)
RED, BLUE, TAN = (170, 40, 50), (30, 60, 150), (160, 110, 80)


@pytest.fixture
def bench(sqlite_url: str, tmp_path: Path) -> Iterator[Bench]:
    database = Database(sqlite_url)
    yield Bench(database, tmp_path, Flaky())
    database.close()


def photo(
    colour: tuple[int, int, int], box: tuple[int, int, int, int], light: tuple[float, float, float] = (1, 1, 1)
) -> Picture:
    """Return a photo of a block on a white backdrop, seen in a light of so much linear red, green and blue."""
    image = Image.new("RGB", (200, 160), (255, 255, 255))
    ImageDraw.Draw(image).rectangle(box, fill=colour)
    linear = (np.asarray(image) / 255) ** 2.2 * light
    return Picture(pixels=(linear ** (1 / 2.2) * 255).round().astype(np.uint8), alpha=None, source_format="png")


def sheet(count: int, columns: int, **layout: str) -> Sheet:
    urls = tuple(f"s3://shop/{number}.png" for number in range(count))
    return Sheet(pictures=urls, columns=columns, cell_px=CELL, **layout)  # type: ignore[arg-type]


def cells(canvas: np.ndarray, columns: int) -> list[np.ndarray]:
    rows = len(canvas) // CELL
    return [
        canvas[r * CELL : (r + 1) * CELL, c * CELL : (c + 1) * CELL].astype(int)
        for r in range(rows)
        for c in range(columns)
    ]


def block(cell: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of what is strongly coloured."""
    rows, columns = (np.flatnonzero((np.ptp(cell, axis=2) > 60).any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def test_products_fit_one_box_and_stand_on_one_line_wherever_they_stood() -> None:
    photos = [photo(RED, (20, 30, 60, 110)), photo(BLUE, (110, 70, 170, 100)), photo(RED, (60, 20, 140, 100))]
    found = cells(compose_sheet(photos, sheet(3, 2)), 2)
    boxes = [block(cell) for cell in found[:3]]
    assert all(abs(max(right - left, bottom - top) + 1 - BOX) <= 3 for left, top, right, bottom in boxes)
    assert max(abs(bottom + 1 - (CELL - round(MARGIN * CELL))) for *_, bottom in boxes) <= 2
    assert max(abs((left + right) / 2 - CELL / 2) for left, _, right, _ in boxes) <= 2
    assert (found[3] == 255).all()  # a cell that nobody has
    below = [cell[bottom + 3, CELL // 2] for cell, (*_, bottom) in zip(found, boxes, strict=False)]
    assert all(130 < shade.max() < 253 and np.ptp(shade) == 0 for shade in below)  # a grey shadow under each
    assert all((cell[:8] == 255).all() and (cell[:, :2] == 255).all() for cell in found)


def test_one_product_in_two_lights_comes_to_one_colour_and_one_in_white_light_keeps_its_own() -> None:
    box = (60, 30, 140, 130)
    yellowish, bluish, white = (1, 0.9, 0.6), (0.55, 0.65, 0.8), (1, 1, 1)
    found = cells(compose_sheet((photo(TAN, box, light) for light in (yellowish, bluish, white)), sheet(3, 3)), 3)
    middles = [cell[CELL // 2, CELL // 2] for cell in found]
    assert tuple(middles[2]) == TAN
    assert max(abs(middle - middles[2]).max() for middle in middles) <= 4
    assert abs(photo(TAN, box, yellowish).pixels[80, 100].astype(int) - TAN).max() > 10  # as it was: far off
    beside = [cell[CELL // 2, : block(cell)[0] - 1] for cell in found]  # with what is left of the backdrop
    assert min(place.min() for place in beside) >= 235


def test_a_backdrop_that_is_no_white_says_nothing_of_the_light() -> None:
    box = (60, 30, 140, 130)
    for light in ((0.05, 0.05, 0.05), (1, 0.1, 0.1)):  # dark grey, and red
        dark = photo((200, 220, 60), box, (1, 1, 1))
        backdrop = photo((255, 255, 255), box, light).pixels
        pixels = np.where((dark.pixels == 255).all(-1, keepdims=True), backdrop, dark.pixels)
        [cell, _] = cells(compose_sheet([Picture(pixels=pixels, alpha=None, source_format="png")], sheet(2, 2)), 2)
        assert tuple(cell[CELL // 2, CELL // 2]) == (200, 220, 60)


def test_alpha_tells_the_product_and_what_is_busy_stays_a_whole_photo() -> None:
    alpha = np.zeros((160, 200), np.uint8)
    alpha[40:120, 50:90] = 255
    alpha[120:150] = 70  # a shadow that the picture brought along
    cut_out = Picture(pixels=np.full((160, 200, 3), RED, np.uint8), alpha=alpha, source_format="png")
    chance = np.random.default_rng(0)
    busy = Picture(pixels=chance.integers(0, 255, (150, 300, 3), np.uint8), alpha=None, source_format="png")
    found = cells(compose_sheet([cut_out, busy], sheet(2, 2, ground="#e0e4e8")), 2)
    left, top, right, bottom = block(found[0])
    assert (bottom - top + 1, right - left + 1) == (BOX, BOX // 2)
    assert tuple(found[0][CELL // 2, CELL // 2]) == RED
    assert tuple(found[0][5, 5]) == (0xE0, 0xE4, 0xE8)
    low, high = CELL - round(MARGIN * CELL) - BOX // 2, CELL - round(MARGIN * CELL)
    seen = found[1][low:high, round(MARGIN * CELL) : -round(MARGIN * CELL)]
    assert seen.std() > 20  # all of it is there
    outside = np.delete(found[1], np.s_[low:high], axis=0)
    assert (outside == (0xE0, 0xE4, 0xE8)).all()  # and throws no shadow


def made_of(url: str, files: list[bytes]) -> Picture:
    inspect_source(url, files, PictureLimits())
    return decode_source(url, files, PictureLimits())


def test_equal_sheets_are_equal_bytes_and_a_bad_picture_is_named() -> None:
    files = [pictures.png(number) for number in range(3)]
    url = sheet_url(sheet(3, 2))
    header = inspect_source(url, files, PictureLimits())
    made = made_of(url, files)
    assert (header.width, header.height) == (made.width, made.height) == (240, 240)
    assert np.array_equal(made.pixels, decode_source(url, files, PictureLimits()).pixels)
    for broken, code in ((files[1][:200], ErrorCode.TRUNCATED), (pictures.bomb_png(), ErrorCode.TOO_MANY_PIXELS)):
        with pytest.raises(ImageRejected, match=r"^picture 2 of 3, s3://shop/1.png: ") as caught:
            made_of(url, [files[0], broken, files[2]])
        assert caught.value.code == code
    with pytest.raises(ImageRejected, match="the picture declares 240 x 240 px"):
        inspect_source(url, files, PictureLimits(max_pixels=50_000))
    with pytest.raises(ObjectMissing, match=r"^picture 1 of 2, b: not there$"), naming(["b", "c"], 0):
        raise ObjectMissing("not there")


def test_a_sheet_waits_for_busy_storage_and_only_the_one_without_a_picture_fails(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, limits = bench.watch.over, {}

    def noted(name: str, held: HeldLease, items: Sequence[tuple[HeldLease, int]], limit: float) -> Any:
        limits[name, items[0][1]] = limit
        return over(name, held, items, limit)

    monkeypatch.setattr(bench.watch, "over", noted)
    urls = [f"file://{tmp_path}/in/{number}.png" for number in range(3)]
    whole = sheet_url(Sheet(pictures=tuple(urls), columns=3, cell_px=CELL))
    broken = sheet_url(Sheet(pictures=(urls[0], f"file://{tmp_path}/in/none.png"), columns=2, cell_px=CELL))
    claim = bench.claim(urls={4: whole, 5: broken})
    bench.run(claim, Invert())
    results = bench.results(claim)
    assert [number for number, result in results.items() if result.state is not ItemState.SUCCEEDED] == [5]
    assert results[5].error_code == "object_missing"
    assert results[5].error_message is not None
    assert results[5].error_message.startswith(f"picture 2 of 2, file://{tmp_path}/in/none.png: ")
    assert (results[4].width, results[4].height) == (3 * CELL, CELL)
    assert limits["decode", 4] == 3 * limits["decode", 0]
    files = [pictures.png(number) for number in range(3)]
    assert results[4].source_bytes == sum(map(len, files))
    assert results[4].source_sha256 == hashlib.sha256(b"".join(files)).hexdigest()
    shown = decode_source(whole, files, PictureLimits()).pixels
    assert np.array_equal(decode(bench.outputs()[4], PictureLimits()).pixels, 255 - shown)  # the model had the sheet


def test_the_pictures_of_a_sheet_have_no_more_bytes_together_than_one_may(bench: Bench, tmp_path: Path) -> None:
    claim = bench.claim()
    urls = tuple(f"file://{tmp_path}/in/{number}.png" for number in range(3))
    item = ClaimedItem(0, sheet_url(Sheet(pictures=urls, columns=3)), "0.png")
    work = Work(held=HeldLease(claim), item=item, prepared=prepared(claim, Invert()))
    room = sum(len(pictures.png(number)) for number in range(3))
    Stages(Storages(), PictureLimits(max_bytes=room), memory_bytes=1 << 20).read(work)
    assert len(work.files) == 3
    with pytest.raises(ObjectTooLarge, match="picture 3 of 3"):
        Stages(Storages(), PictureLimits(max_bytes=room - 1), memory_bytes=1 << 20).read(work)
