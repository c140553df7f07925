"""Planning: a source becomes items and shards, each row once, whatever dies."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from jobs import claims, planning
from jobs.advance import advance
from jobs.cards import CardShelf
from jobs.database import Database
from jobs.errors import LeaseLost
from jobs.job_leases import JobLease, claim_job
from jobs.locations import Location
from jobs.recipes import ManifestSource, PrefixSource, Source
from jobs.records import BadRowRecord, ItemRecord, JobRecord, ShardRecord
from jobs.states import JobState
from jobs.storage import ObjectInfo, Storage, Storages
from jobs.storage_folder import FolderStorage
from tests.factories import make_job, make_recipe

WORKER = uuid.UUID(int=3)
STOPPING = threading.Event()  # never set


class Rings(list[tuple[str, int]]):
    def __call__(self, queue: str, times: int) -> None:
        self.append((queue, times))


class Planner:
    """A job over a folder, and a worker that plans it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.allowed = (f"file://{folder}/",)
        self.rings = Rings()

    def add(self, source: Source, *, extension: str = "webp") -> uuid.UUID:
        with self.database.transaction() as session:
            return make_job(
                session,
                state=JobState.PLANNING,
                source=source.model_dump(mode="json"),
                recipe=make_recipe(format=extension),
                output_url=f"file://{self.folder}/out/",
            ).id

    def prefix(self) -> PrefixSource:
        return PrefixSource(url=f"file://{self.folder}/shop/")

    def manifest(self, rows: str, **options: str) -> ManifestSource:
        name = "rows.csv" if rows.startswith("product_id") else "rows.jsonl"
        (self.folder / name).write_text(rows)
        return ManifestSource.model_validate({"url": f"file://{self.folder}/{name}", **options})

    def claim(self) -> JobLease | None:
        with self.database.transaction() as session:
            return claim_job(session, worker_id=WORKER, lease_seconds=30, stopping=STOPPING)

    def step(self, storages: Storages | None = None) -> None:
        lease = self.claim()
        assert lease is not None
        advance(
            self.database,
            storages or Storages(),
            lease,
            shelf=CardShelf(),
            allowed=self.allowed,
            ring=self.rings,
            draw_sheet=lambda _job, _folder: {},
        )

    def job(self, job_id: uuid.UUID) -> JobRecord:
        with self.database.reading() as session:
            return session.get_one(JobRecord, job_id)

    def items(self, job_id: uuid.UUID) -> list[ItemRecord]:
        with self.database.reading() as session:
            statement = select(ItemRecord).where(ItemRecord.job_id == job_id).order_by(ItemRecord.item_no)
            return list(session.scalars(statement))

    def check_shards(self, job_id: uuid.UUID) -> None:
        """Shards cover the items without gap or overlap."""
        with self.database.reading() as session:
            shards = session.scalars(
                select(ShardRecord).where(ShardRecord.job_id == job_id).order_by(ShardRecord.shard_no)
            ).all()
        reached = 0
        for number, shard in enumerate(shards):
            assert (shard.shard_no, shard.first_item_no) == (number, reached)
            assert shard.item_count == shard.end_item_no - shard.first_item_no > 0
            reached = shard.end_item_no
        job = self.job(job_id)
        assert reached == job.planned_item_count
        assert len(shards) == job.planned_shard_count


@pytest.fixture
def planner(database: Database, tmp_path: Path) -> Planner:
    (tmp_path / "shop").mkdir()
    return Planner(database, tmp_path)


def fill(planner: Planner, names: list[str]) -> None:
    for name in names:
        path = planner.folder / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_prefix_becomes_its_pictures_in_key_order(planner: Planner) -> None:
    fill(planner, ["b/2.JPG", "a/1.png", "a/notes.txt", "plain", ".hidden", "z.heic"])
    job_id = planner.add(planner.prefix())
    planner.step()
    items = planner.items(job_id)
    assert [item.source_url.removeprefix(f"file://{planner.folder}/shop/") for item in items] == [
        "a/1.png",
        "b/2.JPG",
        "z.heic",
    ]
    assert [item.output_key for item in items] == ["a/1.webp", "b/2.webp", "z.webp"]
    job = planner.job(job_id)
    assert job.passed_over_count == 3
    assert (job.state, job.planned_at is not None) == (JobState.QUEUED, True)
    planner.check_shards(job_id)
    assert planner.rings
    assert planner.claim() is None


class OddKeys(FolderStorage):
    """Lists what a bucket may hold and a folder cannot."""

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        for name in ("a/../../../b.jpg", "c//d.jpg", "e/", "f.jpg"):
            yield ObjectInfo(key=prefix + name, size_bytes=1, etag="1")


class OddBucket(Storages):
    def at(self, location: Location) -> Storage:
        return OddKeys(location.folder.key)


def test_keys_that_no_location_can_have_become_items_that_stay_inside_the_output(planner: Planner) -> None:
    job_id = planner.add(planner.prefix())
    planner.step(OddBucket())
    items = planner.items(job_id)
    assert [item.source_url.rpartition("/shop/")[2] for item in items] == ["a/../../../b.jpg", "c//d.jpg", "f.jpg"]
    for item in items:
        assert ".." not in item.output_key.split("/")


def test_results_of_earlier_runs_inside_the_source_are_no_items(planner: Planner) -> None:
    fill(planner, ["a.jpg", "out/a.jpg", "outside/b.jpg"])
    job_id = planner.add(planner.prefix())
    with planner.database.transaction() as session:
        session.get_one(JobRecord, job_id).output_url = f"file://{planner.folder}/shop/out/"
    planner.step()
    assert [Path(item.source_url).name for item in planner.items(job_id)] == ["a.jpg", "b.jpg"]


def test_a_prefix_without_a_single_picture_ends_the_job_with_that_reason(planner: Planner) -> None:
    fill(planner, ["README", "notes.txt"])
    job_id = planner.add(planner.prefix())
    for _ in range(3):  # plan, cancel, finish
        planner.step()
    job = planner.job(job_id)
    assert (job.state, job.outcome, job.passed_over_count) == (JobState.ENDED, "failed", 2)
    assert job.error is not None
    assert job.error["code"] == "source_empty"


def test_a_lenient_manifest_of_nothing_but_bad_rows_ends_the_job_with_that_reason(planner: Planner) -> None:
    job_id = planner.add(planner.manifest("product_id,key\nP1,\nP2,\n", on_bad_row="skip"))
    for _ in range(3):
        planner.step()
    job = planner.job(job_id)
    assert (job.state, job.outcome, job.bad_row_count) == (JobState.ENDED, "failed", 2)
    assert job.error is not None
    assert job.error["code"] == "source_empty"
    assert "none of its 2 rows is usable" in job.error["message"]


def test_manifest_rows_keep_product_and_attributes(planner: Planner) -> None:
    rows = 'product_id,key,colour\nP1,shop/a.jpg,red\n,shop/b.jpg,"dark, blue"\n'
    job_id = planner.add(planner.manifest(rows))
    planner.step()
    first, second = planner.items(job_id)
    assert (first.product_id, first.attributes) == ("P1", {"colour": "red"})
    assert second.attributes == {"colour": "dark, blue"}
    assert first.source_url == f"file://{planner.folder}/shop/a.jpg"
    assert first.output_key == "shop/a.webp"


def test_keys_that_would_collide_get_keys_of_their_own(planner: Planner) -> None:
    names = ["x.jpg", "x.png", "X.JPG", "caf\u00e9.jpg", "cafe\u0301.jpg", "x.jpg"]
    rows = "".join(json.dumps({"key": f"shop/{name}"}) + "\n" for name in names)
    job_id = planner.add(planner.manifest(rows))
    planner.step()
    keys = [item.output_key for item in planner.items(job_id)]
    assert keys[0] == "shop/x.webp"
    assert len(set(keys)) == len(names)
    again = planner.add(planner.manifest(rows))
    planner.step()
    assert [item.output_key for item in planner.items(again)] == keys


BAD = "product_id,key\nP1,shop/a.jpg\nP2,\nP3,file:///etc/passwd\nP4,shop/d.jpg\n"


def test_a_strict_manifest_with_bad_rows_starts_nothing_and_names_them(planner: Planner) -> None:
    job_id = planner.add(planner.manifest(BAD))
    planner.step()
    job = planner.job(job_id)
    assert job.state is JobState.CANCELLING
    assert job.error is not None
    assert job.error["code"] == "bad_rows"
    assert [row["row_no"] for row in job.error["rows"]] == [3, 4]
    assert planner.rings == []


def test_a_lenient_manifest_runs_what_is_good(planner: Planner) -> None:
    job_id = planner.add(planner.manifest(BAD, on_bad_row="skip"))
    planner.step()
    job = planner.job(job_id)
    assert (job.state, job.planned_item_count, job.bad_row_count) == (JobState.QUEUED, 2, 2)
    with planner.database.reading() as session:
        rows = session.scalars(select(BadRowRecord).order_by(BadRowRecord.row_no)).all()
    assert [(row.row_no, row.code) for row in rows] == [(3, "key_missing"), (4, "source_not_allowed")]


def test_the_first_hundred_bad_rows_are_named_and_all_are_counted(planner: Planner) -> None:
    job_id = planner.add(planner.manifest("product_id,key\n" + "P,\n" * 250))
    planner.step()
    job = planner.job(job_id)
    assert job.error is not None
    assert len(job.error["rows"]) == 100
    assert job.bad_row_count == 250


def test_bad_rows_deep_in_a_long_manifest_are_named_by_their_lines(planner: Planner) -> None:
    lines = [json.dumps({"product_id": f"P{row}", "key": f"shop/{row}.jpg"}).encode() for row in range(1, 5001)]
    lines[4711 - 1] = b'{"product_id": "P4711"}'
    lines[4800 - 1] = b'{"product_id": "P4800", "key": '
    lines[4900 - 1] = b'{"product_id": "P4900", "key": "caf\xe9.jpg"}'
    (planner.folder / "long.jsonl").write_bytes(b"\n".join(lines))
    job_id = planner.add(ManifestSource(url=f"file://{planner.folder}/long.jsonl"))
    planner.step()
    job = planner.job(job_id)
    assert job.error is not None
    assert [(row["row_no"], row["code"]) for row in job.error["rows"]] == [
        (4711, "key_missing"),
        (4800, "broken_line"),
        (4900, "wrong_encoding"),
    ]
    assert planner.rings == [], "nothing may run"
    for _ in range(2):  # cancel, finish
        planner.step()
    job = planner.job(job_id)
    assert (job.state, job.outcome) == (JobState.ENDED, "failed")


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ("product_id,picture\nP1,a.jpg\n", "manifest_no_key_column"),
        ("product_id,key\n", "source_empty"),
    ],
)
def test_a_manifest_that_cannot_be_planned_ends_the_job_with_the_reason(planner: Planner, rows: str, code: str) -> None:
    job_id = planner.add(planner.manifest(rows))
    for _ in range(3):  # plan, cancel, finish
        planner.step()
    job = planner.job(job_id)
    assert (job.state, job.outcome) == (JobState.ENDED, "failed")
    assert job.error is not None
    assert job.error["code"] == code


def test_a_planner_that_dies_between_chunks_is_followed_by_one_that_goes_on(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "CHUNK_ITEMS", 4)
    monkeypatch.setattr(planning, "SHARD_ITEMS", 2)
    names = [f"{number:02d}.jpg" for number in range(22)]
    fill(planner, names)
    job_id = planner.add(planner.prefix())
    ring_limit = 3

    def dying(queue: str, times: int) -> None:
        planner.rings(queue, times)
        if len(planner.rings) % ring_limit == 0:
            raise KeyboardInterrupt  # what a SIGINT does in the middle of planning

    for _ in range(10):
        lease = planner.claim()
        if lease is None:
            break
        try:
            planning.plan(planner.database, Storages(), lease, shelf=CardShelf(), allowed=planner.allowed, ring=dying)
        except KeyboardInterrupt:
            expire_job_lease(planner.database, job_id)
        if planner.job(job_id).planned_at:
            break
    assert len(planner.rings) > ring_limit
    assert [Path(item.source_url).name for item in planner.items(job_id)] == names
    planner.check_shards(job_id)


def test_a_planner_asked_to_stop_gives_the_job_back_and_another_goes_on(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "CHUNK_ITEMS", 2)
    names = [f"{number}.jpg" for number in range(9)]
    fill(planner, names)
    job_id = planner.add(planner.prefix())
    stopping = threading.Event()
    with planner.database.transaction() as session:
        lease = claim_job(session, worker_id=WORKER, lease_seconds=600, stopping=stopping)
    assert lease is not None
    advance(
        planner.database,
        Storages(),
        lease,
        shelf=CardShelf(),
        allowed=planner.allowed,
        ring=lambda _queue, _times: stopping.set(),
        draw_sheet=lambda _job, _folder: {},
    )
    assert planner.job(job_id).planned_item_count == 2
    planner.step()
    assert [Path(item.source_url).name for item in planner.items(job_id)] == names
    planner.check_shards(job_id)


def expire_job_lease(database: Database, job_id: uuid.UUID) -> None:
    with database.transaction() as session:
        session.execute(update(JobRecord).where(JobRecord.id == job_id).values(lease_expires_at=None))


def test_a_planner_that_lost_its_lease_appends_nothing(planner: Planner) -> None:
    fill(planner, ["1.jpg"])
    job_id = planner.add(planner.prefix())
    stale = planner.claim()
    assert stale is not None
    expire_job_lease(planner.database, job_id)
    planner.step()
    with pytest.raises(LeaseLost):
        planning.plan(
            planner.database, Storages(), stale, shelf=CardShelf(), allowed=planner.allowed, ring=planner.rings
        )
    assert len(planner.items(job_id)) == 1


def test_a_job_cancelled_while_it_is_planned_gets_no_further_items(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "CHUNK_ITEMS", 2)
    fill(planner, [f"{number}.jpg" for number in range(9)])
    job_id = planner.add(planner.prefix())
    cancelling: Callable[[str, int], None] = lambda _queue, _times: set_state(planner, job_id, JobState.CANCELLING)  # noqa: E731
    lease = planner.claim()
    assert lease is not None
    planning.plan(planner.database, Storages(), lease, shelf=CardShelf(), allowed=planner.allowed, ring=cancelling)
    with planner.database.reading() as session:
        count = session.scalar(select(func.count()).select_from(ItemRecord).where(ItemRecord.job_id == job_id))
    assert count == 2


def set_state(planner: Planner, job_id: uuid.UUID, state: JobState) -> None:
    with planner.database.transaction() as session:
        session.execute(update(JobRecord).where(JobRecord.id == job_id).values(state=state))


def test_keys_collide_across_chunks_too(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "CHUNK_ITEMS", 2)
    names = ["a.jpg", "b.jpg", "A.png", "c.jpg", "d.jpg", "a.png", "e.jpg", "B.gif"]
    job_id = planner.add(planner.manifest("".join(json.dumps({"key": name}) + "\n" for name in names)))
    planner.step()
    items = planner.items(job_id)
    assert [item.source_url.rpartition("/")[2] for item in items] == names
    assert [item.item_no for item in items] == list(range(len(names)))
    assert len({item.output_key.lower() for item in items}) == len(names)
    assert [item.output_key for item in items if "~" not in item.output_key] == [
        "a.webp", "b.webp", "c.webp", "d.webp", "e.webp"
    ]  # fmt: skip
    planner.check_shards(job_id)


def test_a_large_job_has_larger_shards_behind_its_first(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("CHUNK_ITEMS", 8), ("SHARD_ITEMS", 2), ("LARGE_SHARD_ITEMS", 4), ("LARGE_JOB_ITEMS", 6)):
        monkeypatch.setattr(planning, name, value)
    fill(planner, [f"{number:02d}.jpg" for number in range(19)])
    job_id = planner.add(planner.prefix())
    planner.step()
    planner.check_shards(job_id)
    with planner.database.reading() as session:
        counts = select(ShardRecord.item_count).where(ShardRecord.job_id == job_id).order_by(ShardRecord.shard_no)
        # Chunks of 8 items end a shard as well.
        assert list(session.scalars(counts)) == [2, 2, 2, 2, 4, 4, 3]


def test_a_manifest_names_masks_beside_its_pictures_and_a_worker_gets_them(planner: Planner) -> None:
    rows = [
        {"key": "a.jpg", "mask_key": "masks/a.png", "colour": "red"},
        {"key": "b.jpg", "mask_key": f"file://{planner.folder}/elsewhere/b.png"},
        {"key": "c.jpg", "mask_key": ""},
        {"key": "d.jpg"},
    ]
    job_id = planner.add(planner.manifest("\n".join(map(json.dumps, rows))))
    planner.step()
    base = f"file://{planner.folder}/"
    masks = [base + "masks/a.png", base + "elsewhere/b.png", None, None]
    items = planner.items(job_id)
    assert items[0].attributes == {"colour": "red", "mask_key": masks[0]}
    assert [item.output_key for item in items] == ["a.webp", "b.webp", "c.webp", "d.webp"]
    with planner.database.transaction() as session:
        [claim] = claims.claim(session, worker_id=WORKER, queue=planner.job(job_id).queue, lease_seconds=30)
    assert [item.mask_url for item in claim.items] == masks


def test_a_mask_that_may_not_be_read_costs_its_row(planner: Planner) -> None:
    rows = [
        {"key": "a.jpg", "mask_key": "file:///etc/passwd"},
        {"key": "b.jpg", "mask_key": 7},
        {"key": "c.jpg", "mask_key": "../c.png"},
    ]
    job_id = planner.add(planner.manifest("\n".join(map(json.dumps, rows))))
    planner.step()
    with planner.database.reading() as session:
        found = session.scalars(select(BadRowRecord).where(BadRowRecord.job_id == job_id).order_by(BadRowRecord.row_no))
        assert [row.code for row in found] == ["source_not_allowed", "mask_key_invalid", "location_invalid"]
