"""The end of a job: cancelling what is pending, its files, its outcome."""

from __future__ import annotations

import datetime
import json
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from jobs import claims
from jobs.advance import advance
from jobs.cards import CardShelf
from jobs.database import Database, now
from jobs.engines import record_engines
from jobs.errors import LeaseLost, StorageError
from jobs.finishing import Sheet
from jobs.job_leases import LEASE_ATTEMPTS, claim_job
from jobs.leases import ItemResult
from jobs.maintenance import start_finishing, waiting_queues
from jobs.records import BadRowRecord, JobRecord, ResultRecord, ShardRecord
from jobs.states import ItemState, JobOutcome, JobState, ShardState
from jobs.storage import Storages
from tests import factories
from tests.factories import make_job, make_results

WORKER = uuid.UUID(int=4)
STOPPING = threading.Event()  # never set


def no_sheet(_job: JobRecord, _folder: Path) -> dict[str, str]:
    return {}


def step(database: Database, *, draw_sheet: Sheet = no_sheet, storages: Storages | None = None) -> None:
    with database.transaction() as session:
        lease = claim_job(session, worker_id=WORKER, lease_seconds=30, stopping=STOPPING)
    assert lease is not None
    advance(
        database,
        storages or Storages(),
        lease,
        shelf=CardShelf(),
        allowed=(),
        ring=lambda _queue, _times: None,
        draw_sheet=draw_sheet,
    )


def add_job(database: Database, folder: Path, *, settle: Callable[[Any, JobRecord], None], **columns: Any) -> uuid.UUID:
    with database.transaction() as session:
        job = make_job(session, output_url=f"file://{folder}/out/", **columns)
        settle(session, job)
        return job.id


def all_succeeded(session: Any, job: JobRecord) -> None:
    make_results(session, job, range(job.planned_item_count))


def lines(folder: Path, job_id: uuid.UUID, name: str) -> list[dict[str, Any]]:
    text = (folder / "out" / "_restyle" / str(job_id) / name).read_text()
    return [json.loads(line) for line in text.splitlines()]


def get_job(database: Database, job_id: uuid.UUID) -> JobRecord:
    with database.reading() as session:
        return session.get_one(JobRecord, job_id)


def test_a_job_whose_files_take_longer_than_its_lease_is_left_to_who_writes_them(
    database: Database, tmp_path: Path
) -> None:
    """Else two workers would take it from each other for ever."""
    job_id = add_job(database, tmp_path, settle=all_succeeded, state=JobState.FINISHING, items=1)
    with database.transaction() as session:
        lease = claim_job(session, worker_id=WORKER, lease_seconds=3, stopping=STOPPING)
        assert lease is not None
        expires_at = session.get_one(JobRecord, job_id).lease_expires_at
    assert expires_at is not None
    rivals = []

    def slow_sheet(_job: JobRecord, _folder: Path) -> dict[str, str]:
        over = False
        while not over:
            with database.transaction() as session:
                over = now(session) > expires_at + datetime.timedelta(seconds=1)
                rivals.append(claim_job(session, worker_id=uuid.uuid4(), lease_seconds=3, stopping=STOPPING))
            time.sleep(0.05)
        return {}

    advance(
        database,
        Storages(),
        lease,
        shelf=CardShelf(),
        allowed=(),
        ring=lambda _queue, _times: None,
        draw_sheet=slow_sheet,
    )
    assert set(rivals) == {None}, "another worker took the job while its files were being written"
    assert get_job(database, job_id).state is JobState.ENDED


def test_a_job_whose_last_item_settled_is_finished(database: Database, tmp_path: Path) -> None:
    job_id = add_job(database, tmp_path, settle=all_succeeded, state=JobState.RUNNING, items=5, shard_size=2)
    with database.transaction() as session:
        assert start_finishing(session) == [job_id]
        assert start_finishing(session) == []
    step(database)
    job = get_job(database, job_id)
    assert (job.state, job.outcome) == (JobState.ENDED, JobOutcome.SUCCEEDED)
    assert [line["item"] for line in lines(tmp_path, job_id, "manifest.jsonl")] == list(range(5))
    assert lines(tmp_path, job_id, "errors.jsonl") == []


def test_a_job_with_an_open_shard_or_unknown_total_does_not_finish(database: Database, tmp_path: Path) -> None:
    add_job(database, tmp_path, settle=lambda _session, _job: None, state=JobState.RUNNING, items=2)
    add_job(database, tmp_path, settle=all_succeeded, state=JobState.RUNNING, items=2, planned_at=None)
    with database.transaction() as session:
        assert start_finishing(session) == []


def test_the_manifest_and_the_errors_file_say_what_became_of_each_item(database: Database, tmp_path: Path) -> None:
    def settle(session: Any, job: JobRecord) -> None:
        make_results(session, job, [0, 2])
        make_results(session, job, [1], ItemState.FAILED)
        session.add(BadRowRecord(job_id=job.id, row_no=9, code="key_missing", message="give a key", text="P9,"))
        session.add(BadRowRecord(job_id=job.id, row_no=10, code="source_not_allowed", message="no", text="s3://a/b"))

    job_id = add_job(database, tmp_path, settle=settle, state=JobState.FINISHING, items=3)
    step(database)
    assert get_job(database, job_id).outcome is JobOutcome.PARTIAL
    good, bad, _last = lines(tmp_path, job_id, "manifest.jsonl")
    assert good["output_key"] == f"file://{tmp_path}/out/shoes/000000.jpg"
    assert good["sha256"]
    assert (bad["state"], bad["error_code"], bad["output_key"]) == ("failed", "truncated", None)
    failed, note, other = lines(tmp_path, job_id, "errors.jsonl")
    assert (failed["key"], failed["product_id"]) == ("s3://shop/catalogue/shoes/000001.jpg", "P1")
    assert note["bad_row"]["row_no"] == 9
    assert other["bad_row"]["code"] == "source_not_allowed"


def test_the_engines_that_took_part_are_named_in_the_manifest_and_told_beside_it(
    database: Database, tmp_path: Path
) -> None:
    def settle(session: Any, job: JobRecord) -> None:
        record_engines(session, {name: {"device": f"device of {name}"} for name in ("e1", "e2", "of another job")})
        make_results(session, job, [0, 3], engine="e1", device_seconds=0.5, cost=0.125, measures={"ssim": 0.9})
        make_results(session, job, [1], engine="e2", device_seconds=0.25)
        make_results(session, job, [2], ItemState.FAILED)

    job_id = add_job(database, tmp_path, settle=settle, state=JobState.FINISHING, items=4)
    step(database)
    first, second, failed, _last = lines(tmp_path, job_id, "manifest.jsonl")
    assert (first["engine"], first["device_seconds"], first["cost"]) == ("e1", 0.5, 0.125)
    assert (first["measures"], second["measures"]) == ({"ssim": 0.9}, None)
    assert (second["engine"], second["device_seconds"], second["cost"]) == ("e2", 0.25, None)
    assert (failed["engine"], failed["device_seconds"], failed["cost"]) == (None, None, None)
    told = (tmp_path / "out" / "_restyle" / str(job_id) / "engines.json").read_text()
    assert json.loads(told) == {"e1": {"device": "device of e1"}, "e2": {"device": "device of e2"}}


@pytest.mark.parametrize("code", ["location_invalid", "source_not_allowed", "key_in_output", "of_a_later_release"])
def test_a_bad_row_of_any_code_is_noted_in_the_errors_file(database: Database, tmp_path: Path, code: str) -> None:
    def settle(session: Any, job: JobRecord) -> None:
        make_results(session, job, [0])
        session.add(BadRowRecord(job_id=job.id, row_no=9, code=code, message="choose another", text="../secret.jpg"))

    job_id = add_job(database, tmp_path, settle=settle, state=JobState.FINISHING, items=1, bad_row_count=1)
    step(database)
    assert get_job(database, job_id).outcome is JobOutcome.PARTIAL, "a row is without its picture"
    [note] = lines(tmp_path, job_id, "errors.jsonl")
    assert note["bad_row"]["code"] == code


def test_cancelling_ends_every_open_shard_and_takes_leased_ones_back(database: Database, tmp_path: Path) -> None:
    job_id = add_job(
        database, tmp_path, settle=lambda _session, _job: None, state=JobState.RUNNING, items=6, shard_size=2
    )
    with database.transaction() as session:
        [claim] = claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=60)
    with database.transaction() as session:
        factories.settle(session, claim.lease, [ItemResult(item_no=0, state=ItemState.SUCCEEDED)])
        session.get_one(JobRecord, job_id).state = JobState.CANCELLING
        session.get_one(JobRecord, job_id).cancelling_at = session.get_one(JobRecord, job_id).created_at
    step(database)
    with pytest.raises(LeaseLost), database.transaction() as session:
        factories.settle(session, claim.lease, [ItemResult(item_no=1, state=ItemState.SUCCEEDED)])
    step(database)
    job = get_job(database, job_id)
    assert (job.state, job.outcome) == (JobState.ENDED, JobOutcome.CANCELLED)
    with database.reading() as session:
        states = session.scalars(select(ResultRecord.state).order_by(ResultRecord.item_no)).all()
        shards = session.scalars(select(ShardRecord)).all()
    assert states == [ItemState.SUCCEEDED] + [ItemState.CANCELLED] * 5
    assert {shard.state for shard in shards} == {ShardState.ENDED}
    assert sum(shard.succeeded_count + shard.cancelled_count for shard in shards) == 6


def test_a_sheet_that_cannot_be_drawn_does_not_keep_a_job_from_ending(database: Database, tmp_path: Path) -> None:
    def broken(_job: JobRecord, _folder: Path) -> dict[str, str]:
        raise ValueError("no")

    job_id = add_job(database, tmp_path, settle=all_succeeded, state=JobState.FINISHING, items=1)
    step(database, draw_sheet=broken)
    assert get_job(database, job_id).outcome is JobOutcome.SUCCEEDED


class Refusing(Storages):
    """Storage that never takes anything."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def at(self, location: object) -> Any:
        raise self._error


@pytest.mark.parametrize("error", [StorageError("503 SlowDown"), OSError("No space left on device")])
def test_files_that_cannot_be_written_are_tried_again_but_not_for_ever(
    database: Database, tmp_path: Path, error: Exception
) -> None:
    job_id = add_job(database, tmp_path, settle=all_succeeded, state=JobState.FINISHING, items=1)
    for _ in range(LEASE_ATTEMPTS - 1):
        with pytest.raises(type(error)):
            step(database, storages=Refusing(error))
        assert get_job(database, job_id).state is JobState.FINISHING
        with database.transaction() as session:
            assert claim_job(session, worker_id=WORKER, lease_seconds=30, stopping=STOPPING) is None, (
                "the lease paces the next try"
            )
            session.get_one(JobRecord, job_id).lease_expires_at = None
    step(database, storages=Refusing(error))
    job = get_job(database, job_id)
    assert (job.state, job.outcome) == (JobState.ENDED, JobOutcome.SUCCEEDED)
    assert job.error is not None
    assert job.error["code"] == "files_not_written"


def test_queues_with_work_that_nobody_has_taken_are_rung_again(database: Database, tmp_path: Path) -> None:
    nothing: Callable[[Any, JobRecord], None] = lambda _session, _job: None  # noqa: E731
    add_job(database, tmp_path, settle=nothing, items=1, queue="gpu")
    add_job(database, tmp_path, settle=nothing, items=1, queue="paused", state=JobState.PAUSED)
    with database.reading() as session:
        assert waiting_queues(session) == ["gpu"]
        assert session.scalar(select(func.count()).select_from(JobRecord)) == 2
