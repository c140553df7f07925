"""After a fault: nothing lost, nothing twice, counts that add up, outputs as in a calm run.

Three sources must tell the same story: the product's own tables, what the workers told the witness, and what lies in
storage.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select

from jobs.database import Database
from jobs.records import EventRecord, ItemRecord, JobRecord, ResultRecord, ShardRecord, SumRecord
from jobs.states import SETTLED, ItemState, JobState, ShardState
from tests.chaos.fleet import Fleet

JOB_FILES = {"manifest.jsonl", "errors.jsonl", "engines.json", "contact-sheet.html", "contact-sheet.png"}


def settle_up(
    database: Database, fleet: Fleet, job_id: str, objects: Mapping[str, bytes], calm: Mapping[str, str]
) -> Counter[ItemState]:
    """Check an ended job. Return how many of its items ended in which state.

    `objects` is what lies below the job's output URL, by key; `calm` the digest that each source gives in a calm run.
    """
    rows = check_tables(database, job_id)
    check_witness(fleet, job_id, rows)
    check_objects(database, job_id, rows, objects, calm)
    return Counter(row.state for row in rows.values())


def check_tables(database: Database, job_id: str) -> dict[int, ResultRecord]:
    """Every item has one result, and every count follows from them. Return the results by item."""
    with database.reading() as session:
        job = session.get_one(JobRecord, uuid.UUID(job_id))
        assert job.state is JobState.ENDED
        numbers = session.scalars(select(ItemRecord.item_no).where(ItemRecord.job_id == job.id)).all()
        results = session.scalars(select(ResultRecord).where(ResultRecord.job_id == job.id)).all()
        shards = session.scalars(select(ShardRecord).where(ShardRecord.job_id == job.id)).all()
        sums = session.scalars(select(SumRecord).where(SumRecord.job_id == job.id)).all()
        ends = session.scalar(select(func.count()).where(EventRecord.job_id == job.id, EventRecord.kind == "job.ended"))
        session.expunge_all()
    rows = {row.item_no: row for row in results}
    assert len(rows) == len(results)
    assert sorted(numbers) == list(range(job.planned_item_count))
    assert set(rows) == set(numbers), f"without a result: {sorted(set(numbers) - set(rows))}"
    assert all(shard.state is ShardState.ENDED for shard in shards)
    by_state = Counter(row.state for row in results)
    for state in SETTLED:
        for counted in (shards, sums):
            assert sum(getattr(row, f"{state.value}_count") for row in counted) == by_state[state], state
    assert sum(shard.item_count for shard in shards) == job.planned_item_count
    on_device = [row for row in results if row.device_seconds is not None]
    assert sum(part.device_item_count for part in sums) == len(on_device)
    taken = sum(row.device_seconds or 0.0 for row in on_device)
    assert math.isclose(sum(part.device_seconds for part in sums), taken, rel_tol=1e-6, abs_tol=1e-6)
    assert all(row.engine for row in on_device)
    assert ends == 1, f"the job ended {ends} times"
    return rows


def check_witness(fleet: Fleet, job_id: str, rows: Mapping[int, ResultRecord]) -> None:
    """What the tables say was begun, done, and recorded once, by the one who told so."""
    started = {(fact["item"], fact["token"]) for fact in fleet.facts("started", job=job_id)}
    written: defaultdict[int, set[str]] = defaultdict(set)
    for fact in fleet.facts("written", job=job_id):
        written[fact["item"]].add(fact["sha256"])
    recorded: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for fact in fleet.facts("settled", job=job_id):
        for item_no in fact["items"]:
            recorded[int(item_no)].append(fact)
    told: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for fact in fleet.facts("settling", job=job_id):
        for item_no in fact["items"]:
            told[int(item_no)].append(fact)

    twice = {item_no: facts for item_no, facts in recorded.items() if len(facts) > 1}
    assert not twice, f"recorded twice: {twice}"
    for item_no, digests in written.items():
        assert len(digests) == 1, f"item {item_no} was written in {len(digests)} versions"
    for item_no, row in rows.items():
        for fact in recorded[item_no]:
            assert (fact["worker"], fact["attempt"]) == (str(row.worker_id), row.attempt)
            assert fact["items"][str(item_no)] == row.state.value
        if row.worker_id is None:
            continue  # settled by the service itself: cancelled, or quarantined
        own = [fact for fact in told[item_no] if fact["worker"] == str(row.worker_id)]
        assert own, f"item {item_no} has a result that nobody recorded"
        assert any((item_no, fact["token"]) in started for fact in own), f"item {item_no} was never begun"
        if row.state is ItemState.SUCCEEDED:
            assert written[item_no] == {row.sha256}


def check_objects(
    database: Database,
    job_id: str,
    rows: Mapping[int, ResultRecord],
    objects: Mapping[str, bytes],
    calm: Mapping[str, str],
) -> None:
    """What lies in storage is what a calm run writes, and nothing else.

    An item that did not succeed may have left its picture: it was written, and then not recorded.
    """
    with database.reading() as session:
        items = session.scalars(select(ItemRecord).where(ItemRecord.job_id == uuid.UUID(job_id))).all()
        session.expunge_all()
    files = {key: data for key, data in objects.items() if key.rpartition("/")[2] in JOB_FILES}
    assert {key.rpartition("/")[2] for key in files} >= {"manifest.jsonl", "errors.jsonl"}
    [manifest] = [data for key, data in files.items() if key.endswith("manifest.jsonl")]
    assert len(manifest.splitlines()) == len(items)
    for item in items:
        data = objects.get(item.output_key)
        name = item.source_url.rpartition("/")[2]
        if rows[item.item_no].state is ItemState.SUCCEEDED:
            assert data is not None, f"{item.output_key} is not there"
        if data is not None:
            digest = hashlib.sha256(data).hexdigest()
            assert digest == calm[name], f"{item.output_key} differs from that of a calm run"
            if rows[item.item_no].state is ItemState.SUCCEEDED:
                assert digest == rows[item.item_no].sha256
    strangers = objects.keys() - files.keys() - {item.output_key for item in items}
    assert not strangers, f"nobody knows {strangers}"
