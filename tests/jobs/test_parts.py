"""Results in parts: together they are the manifest, each item once; what was read once never changes."""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from jobs.advance import advance
from jobs.cards import CardShelf
from jobs.database import Database
from jobs.errors import NotFound
from jobs.job_leases import claim_job
from jobs.maintenance import start_finishing
from jobs.parts import ERRORS_PAGE, Part, error_lines, part_page, read_part
from jobs.quarantine import quarantine
from jobs.records import BadRowRecord, ItemRecord, JobRecord, ResultPartRecord, ShardRecord
from jobs.states import ItemState, JobState, ShardState
from jobs.storage import Storages
from jobs.tenants import Tenant
from tests.factories import make_job, make_results

TENANT = Tenant(id="default", allowed_prefixes=())
WORKER = uuid.UUID(int=4)


def add_job(database: Database, folder: Path, **columns: Any) -> JobRecord:
    with database.transaction() as session:
        return make_job(session, **{"state": JobState.RUNNING, "output_url": f"file://{folder}/out/"} | columns)


def settle(database: Database, job: JobRecord, item_nos: Any, state: ItemState = ItemState.SUCCEEDED) -> None:
    with database.transaction() as session:
        make_results(session, job, item_nos, state)


def finish(database: Database) -> None:
    with database.transaction() as session:
        start_finishing(session)
    with database.transaction() as session:
        lease = claim_job(session, worker_id=WORKER, lease_seconds=30, stopping=threading.Event())
    assert lease is not None
    advance(
        database,
        Storages(),
        lease,
        shelf=CardShelf(),
        allowed=(),
        ring=lambda _q, _n: None,
        draw_sheet=lambda _j, _f: {},
    )


def all_parts(database: Database, job: JobRecord) -> list[Part]:
    """Every part that is there now, read in small pages."""
    parts: list[Part] = []
    while True:
        page = part_page(database, TENANT, job.id, after=parts[-1].no if parts else None, limit=3)
        parts += page.parts
        if len(page.parts) < 3:
            return parts


def text(database: Database, job: JobRecord) -> bytes:
    """All parts that there are, in the order of the items."""
    parts = sorted(all_parts(database, job), key=lambda part: part.first_item_no)
    bodies = []
    for part in parts:
        known, body = read_part(database, TENANT, job.id, part.no)
        assert known == part
        assert (hashlib.sha256(body).hexdigest(), len(body)) == (part.sha256, part.bytes)
        assert body.count(b"\n") == part.item_count
        bodies.append(body)
    return b"".join(bodies)


def test_all_parts_together_are_the_manifest(database: Database, tmp_path: Path) -> None:
    job = add_job(database, tmp_path, items=50, shard_size=7)
    settle(database, job, range(0, 50, 2))
    settle(database, job, range(1, 50, 2), ItemState.FAILED)
    while_running = text(database, job)
    finish(database)
    manifest = (tmp_path / "out" / "_restyle" / str(job.id) / "manifest.jsonl").read_bytes()
    assert while_running == text(database, job) == manifest


def test_all_parts_together_are_the_manifest_after_halvings_too(database: Database, tmp_path: Path) -> None:
    job = add_job(database, tmp_path, items=64, shard_size=16)
    for shard_no, settled in ((1, [16, 17, 30, 31]), (3, [50, 60]), (4, []), (1, [18]), (0, [0, 5, 15])):
        settle(database, job, settled)
        with database.transaction() as session:
            session.get_one(ShardRecord, (job.id, shard_no)).attempt = 2
            session.flush()
            assert quarantine(session, job.id, shard_no)
    with database.reading() as session:
        shards = session.scalars(select(ShardRecord).order_by(ShardRecord.first_item_no)).all()
    assert len(shards) == 9
    edges = [shards[0].first_item_no, *(shard.end_item_no for shard in shards)]
    assert edges == sorted(edges)
    assert [shard.first_item_no for shard in shards] == edges[:-1], "ranges are disjoint"
    assert (edges[0], edges[-1]) == (0, 64), "ranges are complete"
    settle(database, job, sorted(set(range(64)) - {0, 5, 15, 16, 17, 18, 30, 31, 50, 60}))
    finish(database)
    manifest = (tmp_path / "out" / "_restyle" / str(job.id) / "manifest.jsonl").read_bytes()
    assert text(database, job) == manifest
    assert json_numbers(database, job) == list(range(64))


def json_numbers(database: Database, job: JobRecord) -> list[int]:
    return [json.loads(line)["item"] for line in text(database, job).splitlines()]


def test_only_ended_shards_are_parts(database: Database, tmp_path: Path) -> None:
    job = add_job(database, tmp_path, items=6, shard_size=2)
    settle(database, job, [2, 3, 4])
    assert [part.no for part in all_parts(database, job)] == [1]
    for no in (0, 2, 3):
        with pytest.raises(NotFound):
            read_part(database, TENANT, job.id, no)


def test_a_reader_that_follows_misses_no_part_that_ends_late(database: Database, tmp_path: Path) -> None:
    job = add_job(database, tmp_path, items=10, shard_size=1)
    seen: set[int] = set()
    order = iter([4, 0, 9, 2, 1, 3, 8, 5, 7, 6])
    for _ in range(20):
        after, complete = next(number for number in range(11) if number not in seen) - 1, True
        while True:
            page = part_page(database, TENANT, job.id, after=after, limit=3)
            seen |= {part.no for part in page.parts}
            complete &= page.complete
            number = next(order, None)
            if number is not None:
                settle(database, job, [number])
            with database.transaction() as session:
                start_finishing(session)
            if not page.more:
                break
            after = page.parts[-1].no
        if complete:
            break
    assert complete
    assert seen == set(range(10))


def test_a_job_without_parts_is_said_so(database: Database, tmp_path: Path) -> None:
    job = add_job(database, tmp_path, state=JobState.PLANNING)
    page = part_page(database, TENANT, job.id, limit=3)
    assert (page.complete, page.parts, page.more) == (False, [], False)
    ended = add_job(database, tmp_path, state=JobState.ENDED)
    page = part_page(database, TENANT, ended.id, limit=3)
    assert (page.complete, page.parts, page.more) == (True, [], False)


def test_a_digest_is_kept_from_the_first_time_that_somebody_asks(database: Database, tmp_path: Path) -> None:
    job = add_job(database, tmp_path, items=6, shard_size=2)
    settle(database, job, range(6))
    first = all_parts(database, job)
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(ResultPartRecord)) == 3
        session.execute(delete(ItemRecord))  # so that nothing could be worked out again
    assert all_parts(database, job) == first


def test_two_askers_at_once_agree(database: Database, tmp_path: Path) -> None:
    job = add_job(database, tmp_path, items=40, shard_size=4)
    settle(database, job, range(40))
    start = threading.Barrier(4)

    def ask(_: int) -> Any:
        start.wait()
        return part_page(database, TENANT, job.id, limit=50).parts

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert len(answers[0]) == 10
    assert all(answer == answers[0] for answer in answers)
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(ResultPartRecord)) == 10


def test_the_errors_so_far_are_those_of_the_errors_file(database: Database, tmp_path: Path) -> None:
    count = 2 * ERRORS_PAGE + 300
    job = add_job(database, tmp_path, items=count + 300)
    settle(database, job, range(0, count, 3), ItemState.FAILED)
    settle(database, job, range(1, count, 3), ItemState.REJECTED)
    settle(database, job, range(2, count, 3))
    with database.transaction() as session:
        session.add(BadRowRecord(job_id=job.id, row_no=9, code="location_invalid", message="no", text="P9,"))
    running = b"".join(error_lines(database, TENANT, job.id))
    numbers = [json.loads(line)["item"] for line in running.splitlines()[:-1]]
    assert numbers == [number for number in range(count) if number % 3 != 2]
    settle(database, job, range(count, count + 300), ItemState.CANCELLED)
    finish(database)
    errors = (tmp_path / "out" / "_restyle" / str(job.id) / "errors.jsonl").read_bytes()
    assert b"".join(error_lines(database, TENANT, job.id)) == errors
    assert errors.count(b"\n") == len(numbers) + 300 + 1


def test_the_errors_of_a_job_come_in_pages(database: Database, tmp_path: Path) -> None:
    job = add_job(database, tmp_path, items=2 * ERRORS_PAGE + 1)
    settle(database, job, range(2 * ERRORS_PAGE + 1), ItemState.FAILED)
    sizes = [page.count(b"\n") for page in error_lines(database, TENANT, job.id)]
    assert sizes == [ERRORS_PAGE, ERRORS_PAGE, 1]


def test_foreign_results_are_as_good_as_absent(database: Database, tmp_path: Path) -> None:
    job = add_job(database, tmp_path, items=2, tenant_id="other")
    settle(database, job, range(2))
    with pytest.raises(NotFound):
        part_page(database, TENANT, job.id, limit=3)
    with pytest.raises(NotFound):
        read_part(database, TENANT, job.id, 0)
    with pytest.raises(NotFound):
        error_lines(database, TENANT, job.id)
    with database.reading() as session:
        assert set(session.scalars(select(ShardRecord.state))) == {ShardState.ENDED}
