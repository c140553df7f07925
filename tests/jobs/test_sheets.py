"""Comparison sheets: from a row that names several pictures to an item that says all that its sheet shows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from jobs.database import Database
from jobs.locations import key_fault
from jobs.manifests import ManifestFormat, manifest_line, read_rows
from jobs.recipes import JobSource
from jobs.records import BadRowRecord, ItemRecord, JobRecord, ResultRecord
from jobs.sheets import MAX_PICTURES, PREFIX, Sheet, columns_for, is_sheet, read_sheet, sheet_url
from jobs.states import ItemState, JobOutcome, JobState
from tests.factories import result_row
from tests.jobs.test_wishes import Shop

KEYS = st.text(min_size=1, max_size=40).filter(lambda key: not key_fault(key))
RESTYLE: dict[str, Any] = {"operation": "restyle", "model": "unchanged"}


@given(
    st.lists(KEYS.map("s3://shop/{}".format), min_size=2, max_size=MAX_PICTURES),
    st.integers(64, 2048),
    st.sampled_from(["#ffffff", "#0a1b2c"]),
    st.data(),
)
def test_a_sheet_is_read_as_it_was_written(pictures: list[str], cell_px: int, ground: str, data: st.DataObject) -> None:
    columns = data.draw(st.integers(1, len(pictures)))
    sheet = Sheet(pictures=tuple(pictures), columns=columns, cell_px=cell_px, ground=ground)
    url = sheet_url(sheet)
    assert is_sheet(url)
    assert read_sheet(url) == sheet
    assert url.isascii()


@pytest.mark.parametrize(
    "url",
    [
        "s3://shop/a.jpg",
        PREFIX,
        f"{PREFIX}cell_px=512&columns=1&ground=%23ffffff&picture=s3://shop/a.jpg",
        f"{PREFIX}cell_px=512&columns=3&ground=%23ffffff&picture=s3://shop/a.jpg&picture=s3://shop/b.jpg",
        f"{PREFIX}cell_px=5&columns=2&ground=%23ffffff&picture=s3://shop/a.jpg&picture=s3://shop/b.jpg",
        f"{PREFIX}cell_px=512&columns=2&ground=white&picture=s3://shop/a.jpg&picture=s3://shop/b.jpg",
        f"{PREFIX}columns=2&ground=%23ffffff&picture=s3://shop/a.jpg&picture=s3://shop/b.jpg",
        f"{PREFIX}cell_px=512&columns=2&ground=%23ffffff" + 13 * "&picture=s3://shop/a.jpg",
    ],
)
def test_what_is_no_sheet_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sheet|picture|cell|colour|begin|field"):
        read_sheet(url)


def test_sheets_have_few_rows_of_equal_length() -> None:
    assert [columns_for(pictures) for pictures in range(2, 13)] == [2, 3, 4, 3, 3, 4, 4, 3, 4, 4, 4]


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)


def items(shop: Shop, job_id: Any) -> list[ItemRecord]:
    with shop.database.reading() as session:
        return list(session.scalars(select(ItemRecord).where(ItemRecord.job_id == job_id).order_by(ItemRecord.item_no)))


def test_rows_that_name_several_pictures_become_one_item_each_beside_ordinary_ones(shop: Shop) -> None:
    csv = "product_id,key,keys,sheet_columns,colour\nset,,a.jpg| b b.jpg |c/d.jpg,,red\n,x.jpg,,,\n,,a.jpg|x.jpg,1,\n"
    planned = items(shop, shop.plan(shop.manifest("sets.csv", csv), **RESTYLE))
    base = f"file://{shop.folder}"
    sheets = [read_sheet(item.source_url) for item in planned if is_sheet(item.source_url)]
    assert sheets == [
        Sheet(pictures=(f"{base}/a.jpg", f"{base}/b b.jpg", f"{base}/c/d.jpg"), columns=3),
        Sheet(pictures=(f"{base}/a.jpg", f"{base}/x.jpg"), columns=1),
    ]
    assert planned[1].source_url == f"{base}/x.jpg"
    assert [item.output_key for item in planned] == ["set.jpg", "x.jpg", "row-4.jpg"]
    assert planned[0].attributes is not None
    assert planned[0].attributes["colour"] == "red"

    row = {"keys": ["a.jpg", f"{base}/x.jpg"], "sheet_columns": 9, "sheet_cell_px": 256, "sheet_ground": "#F0F0F0"}
    [item] = items(shop, shop.plan(shop.manifest("sets.jsonl", json.dumps(row)), **RESTYLE))
    pictures = (f"{base}/a.jpg", f"{base}/x.jpg")
    assert read_sheet(item.source_url) == Sheet(pictures=pictures, columns=2, cell_px=256, ground="#f0f0f0")


def test_rows_that_can_be_no_sheet_are_named_and_every_picture_is_held_against_what_is_allowed(shop: Shop) -> None:
    (shop.folder / "out").mkdir()
    elsewhere = f"file://{shop.folder.parent}/elsewhere/b.jpg"
    rows: list[tuple[dict[str, Any], str]] = [
        ({"keys": ["a.jpg", elsewhere]}, "source_not_allowed"),
        ({"keys": ["a.jpg", "../b.jpg"]}, "location_invalid"),
        ({"keys": ["a.jpg", "out/b.jpg"]}, "key_in_output"),
        ({"keys": ["a.jpg"]}, "keys_invalid"),
        ({"keys": ["a.jpg"] * 13}, "keys_invalid"),
        ({"keys": ["a.jpg", 7]}, "keys_invalid"),
        ({"keys": "a.jpg||b.jpg"}, "keys_invalid"),
        ({"keys": [f"{n}/" + "ü" * 450 for n in range(12)]}, "keys_invalid"),
        ({"keys": "a.jpg|b.jpg", "sheet_columns": 0}, "sheet_invalid"),
        ({"keys": "a.jpg|b.jpg", "sheet_ground": "red"}, "sheet_invalid"),
        ({"keys": "", "key": ""}, "key_missing"),
        ({"key": f"{PREFIX}columns=1"}, "sheet_invalid"),
        (
            {"key": sheet_url(Sheet(pictures=(f"file://{shop.folder}/a.jpg", elsewhere), columns=1))},
            "source_not_allowed",
        ),
    ]
    text = "".join(json.dumps(row) + "\n" for row, _ in rows) + '{"key": "a.jpg"}\n'
    job_id = shop.plan(shop.manifest("bad.jsonl", text, on_bad_row="skip"), **RESTYLE)
    assert len(items(shop, job_id)) == 1
    with shop.database.reading() as session:
        bad = session.scalars(select(BadRowRecord).order_by(BadRowRecord.row_no))
        assert [(row.code, len(row.message) < 2500) for row in bad] == [(code, True) for _, code in rows]


def test_a_sheet_that_failed_is_tried_again_from_the_errors_file_and_by_a_retry_while_its_pictures_are_allowed(
    shop: Shop,
) -> None:
    keys = [f"{number}/{'long' * 60}.jpg" for number in range(6)]
    source = shop.manifest("sets.jsonl", json.dumps({"keys": keys, "product_id": "set", "season": "autumn"}))
    parent = shop.plan(source, **RESTYLE)
    [sheet] = items(shop, parent)
    assert len(sheet.source_url) > 1024
    line = manifest_line(
        key=sheet.source_url,
        product_id="set",
        attributes=sheet.attributes or {},
        item=0,
        state="failed",
        error_code="truncated",
        error_message="picture 2 of 6 …",
    )
    [row] = read_rows(io.BytesIO(line), ManifestFormat.JSONL)
    again = shop.plan(shop.manifest("errors.jsonl", line.decode()), **RESTYLE)
    [item] = items(shop, again)
    assert (item.source_url, item.output_key) == (sheet.source_url, sheet.output_key)
    assert item.attributes == sheet.attributes, row

    with shop.database.transaction() as session:
        job = session.get_one(JobRecord, parent)
        session.add(ResultRecord(**result_row(job, 0, ItemState.FAILED)))
        job.state, job.outcome = JobState.ENDED, JobOutcome.FAILED
    [item] = items(shop, shop.plan(JobSource(job_id=parent), **RESTYLE))
    assert (item.source_url, item.output_key) == (sheet.source_url, sheet.output_key)
    shop.allowed = (f"file://{shop.folder}/0/",)
    refused = shop.plan(JobSource(job_id=parent), **RESTYLE)
    assert items(shop, refused) == []
    with shop.database.reading() as session:
        assert [row.code for row in session.scalars(select(BadRowRecord))] == ["source_not_allowed"]
