"""Labels: from a manifest's row of words to an item that says all that its label shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from jobs.database import Database
from jobs.labels import MAX_CHARACTERS, MAX_LINES, PREFIX, Label, is_label, label_url, read_label
from jobs.records import BadRowRecord, ItemRecord
from tests.jobs.test_sheets import RESTYLE, items
from tests.jobs.test_wishes import Shop

TEXTS = st.text(max_size=30).filter(str.isprintable)


@given(TEXTS.filter(bool), TEXTS, st.lists(TEXTS, max_size=MAX_LINES), st.integers(64, 2048), st.integers(64, 2048))
def test_a_label_is_read_as_it_was_written(title: str, price: str, lines: list[str], width: int, height: int) -> None:
    label = Label(title=title, price=price, lines=tuple(lines), colour="#12ab9f", width_px=width, height_px=height)
    url = label_url(label)
    assert is_label(url)
    assert read_label(url) == label
    assert url.isascii()


SIZE = "&height_px=400&width_px=640"


@pytest.mark.parametrize(
    "url",
    [
        "s3://shop/a.jpg",
        PREFIX,
        f"{PREFIX}colour=%23ffffff&price=&title={SIZE}",
        f"{PREFIX}colour=%23ffffff&title=Mug{SIZE}",
        f"{PREFIX}colour=white&price=&title=Mug{SIZE}",
        f"{PREFIX}colour=%23ffffff&price=&title=Mug&title=Cup{SIZE}",
        f"{PREFIX}colour=%23ffffff&price=&title=Mug%0A{SIZE}",
        f"{PREFIX}colour=%23ffffff&price=&title=Mug&height_px=4&width_px=640",
    ],
)
def test_what_is_no_label_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"label|colour|seen|side|begin|field"):
        read_label(url)


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)


def test_rows_of_words_become_labels_and_a_row_with_a_key_stays_a_picture(shop: Shop) -> None:
    csv = (
        "product_id,key,label_title,label_price,label_lines,label_colour,label_width_px\n"
        "4711,, Steel  bo\u0308ttle ,24.90,forest green|750 ml|,#C8102E,\n"
        ",,Mug,,,,300\n"
        "4712,a.jpg,Mug,,,,\n"
    )
    planned: list[ItemRecord] = items(shop, shop.plan(shop.manifest("tags.csv", csv), **RESTYLE))
    assert [read_label(item.source_url) for item in planned[:2]] == [
        Label(title="Steel böttle", price="24.90", lines=("forest green", "750 ml"), colour="#c8102e"),
        Label(title="Mug", width_px=300),
    ]
    assert planned[2].source_url == f"file://{shop.folder}/a.jpg"
    assert [item.output_key for item in planned] == ["4711.jpg", "row-3.jpg", "a.jpg"]
    row: dict[str, Any] = {"label_title": "Mug", "label_price": 0, "label_lines": ["Red", "600 ml"]}
    again = {"key": planned[0].source_url, "product_id": "4711"}
    text = json.dumps(row) + "\n" + json.dumps(again)
    fresh, repeated = items(shop, shop.plan(shop.manifest("tags.jsonl", text), **RESTYLE))
    assert read_label(fresh.source_url) == Label(title="Mug", price="0", lines=("Red", "600 ml"))
    assert repeated.source_url == planned[0].source_url


def test_rows_that_can_be_no_label_are_named(shop: Shop) -> None:
    rows: list[dict[str, Any]] = [
        {"label_title": " "},
        {"label_title": "x" * (MAX_CHARACTERS + 1)},
        {"label_title": "Mug", "label_lines": ["x"] * (MAX_LINES + 1)},
        {"label_title": "Mug", "label_lines": {"a": 1}},
        {"label_title": "Mug\u200b"},
        {"label_title": "Mug", "label_colour": "red"},
        {"label_title": "Mug", "label_width_px": 9},
        {"key": f"{PREFIX}title=Mug"},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"key": "a.jpg"}\n'
    job_id = shop.plan(shop.manifest("bad.jsonl", text, on_bad_row="skip"), **RESTYLE)
    assert len(items(shop, job_id)) == 1
    with shop.database.reading() as session:
        bad = list(session.scalars(select(BadRowRecord).order_by(BadRowRecord.row_no)))
    assert [row.code for row in bad] == ["label_invalid"] * len(rows)
