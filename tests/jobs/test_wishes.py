"""Jobs that generate: from a count or the rows of a manifest to items that say all that their pictures follow from."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from jobs import planning
from jobs.advance import advance
from jobs.cards import BUILT_IN, CardShelf, Generation
from jobs.database import Database
from jobs.job_leases import claim_job
from jobs.operation_checks import attribute_fault
from jobs.recipes import CountSource, JobSource, ManifestSource, Recipe, Source
from jobs.records import BadRowRecord, ItemRecord, JobRecord, ResultRecord
from jobs.states import ItemState, JobOutcome, JobState
from jobs.storage import Storages
from jobs.wishes import MAX_SEED, PREFIX, is_wish, read_wish, wish_url
from tests.factories import make_job, result_row
from tests.jobs.test_planning import STOPPING, WORKER

WORDS = {"kind": ["mug", "shoe"], "colour": ["red", "blue"]}


@given(
    st.dictionaries(st.text(max_size=9).filter(lambda name: name != "seed"), st.text(max_size=9)),
    st.integers(0, MAX_SEED),
)
def test_a_wish_is_read_as_it_was_written(attributes: dict[str, str], seed: int) -> None:
    url = wish_url(attributes, seed)
    assert is_wish(url)
    assert read_wish(url) == (attributes, seed)
    assert url == wish_url(dict(reversed(attributes.items())), seed)


@pytest.mark.parametrize(
    "url", ["s3://shop/a.jpg", PREFIX, f"{PREFIX}seed=-1", f"{PREFIX}seed={MAX_SEED + 1}", f"{PREFIX}kind"]
)
def test_what_is_no_wish_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"seed|begin|field"):
        read_wish(url)


class Shop:
    """A service with one model that generates, and a worker that plans its jobs."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.allowed = (f"file://{folder}/",)
        (folder / "models" / "drawer").mkdir(parents=True)
        card = {
            "name": "drawer",
            "version": "1",
            "operation": "generate",
            "architecture": "drawer",
            "summary": "Draws.",
        }
        card |= {"licence": "MIT", "config": {"side_px": 64, "attributes": WORDS}}
        (folder / "models" / "drawer" / "model.json").write_text(json.dumps(card))

    def plan(self, source: Source, **members: Any) -> uuid.UUID:
        recipe = Recipe.model_validate({"operation": "generate", "model": "drawer"} | members)
        with self.database.transaction() as session:
            job_id = make_job(
                session,
                state=JobState.PLANNING,
                source=source.model_dump(mode="json"),
                recipe=recipe,
                output_url=f"file://{self.folder}/out/",
            ).id
        self.step()
        return job_id

    def step(self) -> None:
        with self.database.transaction() as session:
            lease = claim_job(session, worker_id=WORKER, lease_seconds=30, stopping=STOPPING)
        assert lease is not None
        advance(
            self.database,
            Storages(),
            lease,
            shelf=CardShelf(self.folder / "models"),
            allowed=self.allowed,
            ring=lambda _queue, _times: None,
            draw_sheet=lambda _job, _folder: {},
        )

    def manifest(self, name: str, text: str, **options: str) -> ManifestSource:
        (self.folder / name).write_text(text)
        return ManifestSource.model_validate({"url": f"file://{self.folder}/{name}", **options})

    def wishes(self, job_id: uuid.UUID) -> dict[str, tuple[dict[str, str], int]]:
        """Return what is wished for at each output key."""
        with self.database.reading() as session:
            items = session.scalars(select(ItemRecord).where(ItemRecord.job_id == job_id).order_by(ItemRecord.item_no))
            return {item.output_key: read_wish(item.source_url) for item in items}


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)


def test_a_count_becomes_so_many_wishes_each_with_a_seed_of_its_own(shop: Shop) -> None:
    made = shop.wishes(shop.plan(CountSource(count=30), attributes={"kind": "mug"}))
    assert list(made) == [f"{number:07}.jpg" for number in range(1, 31)]
    assert all(attributes == {"kind": "mug"} for attributes, _ in made.values())
    assert len({seed for _, seed in made.values()}) == 30
    assert shop.wishes(shop.plan(CountSource(count=30), attributes={"kind": "mug"})) == made
    others = shop.wishes(shop.plan(CountSource(count=30), attributes={"kind": "mug"}, seed=1))
    assert not {seed for _, seed in made.values()} & {seed for _, seed in others.values()}


def test_rows_say_what_they_want_how_often_and_by_which_seed(shop: Shop) -> None:
    rows = "product_id,kind,colour,count,seed,shelf\nA1,shoe,,2,,north\n,,blue,,77,\nB/2,mug,red,1,77,\n"
    job_id = shop.plan(shop.manifest("rows.csv", rows), attributes={"kind": "mug", "colour": "red"})
    made = shop.wishes(job_id)
    assert list(made) == ["A1-1.jpg", "A1-2.jpg", "row-3.jpg", "B/2.jpg"]
    words = [attributes for attributes, _ in made.values()]
    assert words == [{"kind": "shoe", "colour": "red"}] * 2 + [
        {"kind": "mug", "colour": "blue"},
        {"kind": "mug", "colour": "red"},
    ]
    seeds = [seed for _, seed in made.values()]
    assert seeds[2] == seeds[3]  # a row's own seed is the same anywhere
    assert len(set(seeds)) == 3
    moved = shop.manifest("moved.csv", "kind,product_id,count\nmug,,\nshoe,A1,2\n")
    again = shop.wishes(shop.plan(moved, attributes={"colour": "red"}))
    assert again["A1-1.jpg"] == made["A1-1.jpg"]  # and a product's in any row


def test_rules_say_by_other_columns_what_a_picture_shows(shop: Shop) -> None:
    rules = [
        {"when": {"audience": "kids"}, "attributes": {"colour": "red"}},
        {"when": {"price": {"minimum": 20, "below": 50}}, "attributes": {"colour": "blue", "kind": "shoe"}},
    ]
    rows = "product_id,audience,price,kind\nA,kids,10,\nB,kids,20,\nC,,49.99,mug\nD,,50,\nE,,cheap,\n"
    made = shop.wishes(shop.plan(shop.manifest("rows.csv", rows), attributes={"kind": "mug"}, rules=rules))
    assert {key: (words.get("kind"), words.get("colour")) for key, (words, _) in made.items()} == {
        "A.jpg": ("mug", "red"),
        "B.jpg": ("shoe", "red"),
        "C.jpg": ("mug", "blue"),
        "D.jpg": ("mug", None),
        "E.jpg": ("mug", None),
    }


def test_a_row_may_say_in_a_sentence_what_it_wants(shop: Shop) -> None:
    rows = "product_id,text,colour\nA,a mug for the garden,\nB,a mug,blue\nC,,red\n"
    made = shop.wishes(shop.plan(shop.manifest("rows.csv", rows), attributes={"text": "any shoe"}))
    assert {key: words for key, (words, _) in made.items()} == {
        "A.jpg": {"text": "a mug for the garden"},
        "B.jpg": {"text": "a mug", "colour": "blue"},
        "C.jpg": {"text": "any shoe", "colour": "red"},
    }


def test_a_card_takes_sentences_where_it_has_words_to_find_in_them() -> None:
    known = [
        Generation.model_validate({"side_px": 64, "attributes": each}).wishable for each in (WORDS, {"kind": []}, {})
    ]
    assert list(known[0]) == ["kind", "colour", "text"]
    assert known[1:] == [{"kind": ()}, {}]
    own = Generation.model_validate({"side_px": 64, "attributes": {**WORDS, "text": []}})
    assert own.wishable == own.attributes
    assert not own.reads_sentences
    card = CardShelf(BUILT_IN).get("studio-reader").model_copy(update={"config": {"side_px": 64, "attributes": WORDS}})
    assert attribute_fault(card, "text", "a mug") is None
    assert attribute_fault(card, "size", "large") == "studio-reader has no such attribute; it has kind, colour, text"


def test_rows_that_wish_for_what_the_model_does_not_know_are_named(shop: Shop) -> None:
    rows = [{"kind": "hat"}, {"kind": "mug", "count": 0}, {"seed": "x"}, {"count": 2.5}, {"colour": "red"}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    job_id = shop.plan(shop.manifest("rows.jsonl", text, on_bad_row="skip"))
    assert len(shop.wishes(job_id)) == 1
    with shop.database.reading() as session:
        bad = list(session.scalars(select(BadRowRecord).order_by(BadRowRecord.row_no)))
    assert [row.code for row in bad] == ["attribute_unknown", "count_invalid", "seed_invalid", "count_invalid"]
    assert "choose one of mug, shoe" in bad[0].message


def test_planning_goes_on_within_a_row_of_many_variants(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shop.manifest("rows.jsonl", "".join(json.dumps({"kind": "mug", "count": 7}) + "\n" for _ in range(3)))
    whole = shop.wishes(shop.plan(source))
    assert len(whole) == 21
    monkeypatch.setattr(planning, "CHUNK_ITEMS", 4)
    died = []
    append = planning.append

    def dying(session: Any, record: Any, rows: Any) -> Any:
        rows = list(rows)
        if record is ItemRecord and rows[0]["item_no"] == 8 and not died:
            died.append(True)
            raise ConnectionError
        return append(session, record, rows)

    monkeypatch.setattr(planning, "append", dying)
    with pytest.raises(ConnectionError):
        shop.plan(source)
    with shop.database.transaction() as session:
        job = session.scalars(select(JobRecord).where(JobRecord.state == JobState.PLANNING)).one()
        job.lease_expires_at = job.created_at
        job_id = job.id
        assert job.planned_item_count == 8
    shop.step()
    assert shop.wishes(job_id) == whole


def test_what_failed_is_made_again_by_the_same_wish(shop: Shop) -> None:
    parent = shop.plan(CountSource(count=3))
    with shop.database.transaction() as session:
        job = session.get_one(JobRecord, parent)
        for number in range(3):
            state = ItemState.FAILED if number == 1 else ItemState.SUCCEEDED
            session.add(ResultRecord(**result_row(job, number, state)))
        job.state, job.outcome = JobState.ENDED, JobOutcome.PARTIAL
    retried = shop.wishes(shop.plan(JobSource(job_id=parent)))
    assert retried == {"0000002.jpg": shop.wishes(parent)["0000002.jpg"]}
