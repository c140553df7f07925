"""Jobs past their retention: what goes, what stays, in which portions, and what a crash in between leaves."""

from __future__ import annotations

import datetime
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select, update

from jobs import events, retention
from jobs.advance import advance
from jobs.cards import CardShelf
from jobs.database import Database, now
from jobs.errors import AccessDenied, NotFound, StorageError
from jobs.expiry import free_key
from jobs.job_leases import LEASE_ATTEMPTS, JobLease, claim_job
from jobs.locations import Location
from jobs.maintenance import start_finishing
from jobs.output_keys import files_url, fold
from jobs.parts import part_page
from jobs.queries import find_job, job_page, job_status
from jobs.records import BadRowRecord, ItemErrorRecord, ItemRecord, JobRecord, Record, WebhookDeliveryRecord
from jobs.states import DeliveryState, ItemState, JobOutcome, JobState
from jobs.storage import Storage, Storages
from jobs.tenants import Tenant
from tests.factories import make_job, make_results, make_webhook

TENANT = Tenant(id="default", allowed_prefixes=())
WORKER = uuid.UUID(int=4)
OF_A_JOB = ["bad_rows", "events", "item_errors", "items", "jobs", "result_parts", "results", "shards"]


def add_job(
    database: Database,
    folder: Path,
    *,
    items: int = 6,
    ago: int = 1,
    settle: Callable[[Any, JobRecord], None] | None = None,
    **columns: Any,
) -> JobRecord:
    """An ended job that expired `ago` days ago, with a row in every table."""
    with database.transaction() as session:
        defaults = {
            "state": JobState.ENDED,
            "outcome": JobOutcome.PARTIAL if settle else JobOutcome.SUCCEEDED,
            "output_url": f"file://{folder}/out/",
            "expires_at": now(session) - datetime.timedelta(days=ago),
            "shard_size": 2,
        }
        job = make_job(session, items=items, **defaults | columns)
        if settle is not None:
            settle(session, job)
        session.add(BadRowRecord(job_id=job.id, row_no=1, code="key_missing", message="", text=""))
        if items:
            row = {"attempt": 1, "code": "model_failed", "message": "", "failed_at": now(session)}
            session.add(ItemErrorRecord(id=uuid.uuid4(), job_id=job.id, item_no=0, **row))
        events.record(session, job.tenant_id, job.id, "job.ended", actor="service")
    return job


def write_outputs(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / "out" / "shoes" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture")


def pictures(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in (folder / "out" / "shoes").glob("*"))


def claim(database: Database, stopping: threading.Event | None = None) -> JobLease | None:
    with database.transaction() as session:
        return claim_job(session, worker_id=WORKER, lease_seconds=30, stopping=stopping or threading.Event())


def step(database: Database, storages: Storages | None = None) -> bool:
    """Do one step, if one waits."""
    lease = claim(database)
    if lease is None:
        return False
    advance(
        database,
        storages or Storages(),
        lease,
        shelf=CardShelf(),
        allowed=(),
        ring=lambda _queue, _times: None,
        draw_sheet=lambda _job, _folder: {},
    )
    return True


def rows(database: Database) -> dict[str, int]:
    """How many rows each table of a job's has, where it has any."""
    with database.reading() as session:
        counts = {
            name: session.scalar(select(func.count()).select_from(Record.metadata.tables[name])) or 0
            for name in [*OF_A_JOB, "webhook_deliveries"]
        }
    return {name: count for name, count in counts.items() if count}


def lease_runs_out(database: Database) -> None:
    with database.transaction() as session:
        session.execute(update(JobRecord).values(lease_expires_at=None))


def test_the_end_of_a_job_sets_when_it_expires(database: Database, tmp_path: Path) -> None:
    with database.transaction() as session:
        url = f"file://{tmp_path}/out/"
        for days in (30, None):
            job = make_job(session, state=JobState.RUNNING, items=1, output_url=url, retention_days=days)
            make_results(session, job, [0])
        start_finishing(session)
    while step(database):
        pass
    with database.reading() as session:
        kept, for_ever = session.scalars(select(JobRecord).order_by(JobRecord.id)).all()
    assert kept.expires_at - kept.ended_at == datetime.timedelta(days=30)
    assert for_ever.expires_at is None


def test_a_job_past_its_retention_goes_with_all_its_rows_and_no_other_does(database: Database, tmp_path: Path) -> None:
    with database.transaction() as session:
        make_webhook(session)
    add_job(database, tmp_path)
    assert set(rows(database)) >= set(OF_A_JOB) - {"result_parts"} | {"webhook_deliveries"}
    kept = add_job(database, tmp_path, ago=-1)
    for_ever = add_job(database, tmp_path, expires_at=None)
    before = rows(database)
    assert part_page(database, TENANT, kept.id, limit=10).parts
    assert step(database)
    assert not step(database)
    assert rows(database) == {name: count * 2 // 3 for name, count in before.items()} | {"result_parts": 3}
    with database.reading() as session:
        assert {job.id for job in session.scalars(select(JobRecord))} == {kept.id, for_ever.id}


def test_outputs_stay_unless_the_job_said_otherwise(database: Database, tmp_path: Path) -> None:
    write_outputs(tmp_path, 6)
    add_job(database, tmp_path)
    step(database)
    assert pictures(tmp_path) == [0, 1, 2, 3, 4, 5]


def test_outputs_go_if_the_job_said_so_but_only_what_its_results_name(database: Database, tmp_path: Path) -> None:
    def settle(session: Any, job: JobRecord) -> None:
        make_results(session, job, [0, 1])
        make_results(session, job, [2], ItemState.REJECTED)
        make_results(session, job, [3], ItemState.FAILED)
        make_results(session, job, [4, 5], ItemState.CANCELLED)

    write_outputs(tmp_path, 9)
    job = add_job(database, tmp_path, settle=settle, outputs_expire=True)
    mine, other = (tmp_path / "out" / "_restyle" / str(each) / "manifest.jsonl" for each in (job.id, uuid.uuid4()))
    for path in (mine, other):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"{}\n")
    assert str(mine) == files_url(job.output_url, job.id).removeprefix("file://") + "manifest.jsonl"
    rejected = mine.parent / "rejected" / "shoes" / "000002.jpg"
    rejected.parent.mkdir(parents=True)
    rejected.write_bytes(b"picture")
    assert step(database)
    assert pictures(tmp_path) == [2, 3, 4, 5, 6, 7, 8], "what was rejected is none of those at the output keys"
    assert (mine.exists(), rejected.exists(), other.exists()) == (False, False, True)
    assert rows(database) == {}


@pytest.mark.parametrize("nested", [False, True])
def test_what_another_job_has_written_stays(database: Database, tmp_path: Path, nested: bool) -> None:
    """The other job names the same objects, from the same output folder or from one above."""
    write_outputs(tmp_path, 6)
    add_job(database, tmp_path, outputs_expire=True)

    def settle(session: Any, job: JobRecord) -> None:
        make_results(session, job, [0, 2])
        make_results(session, job, [1, 3], ItemState.FAILED)

    other = add_job(database, tmp_path, items=4, ago=-1, settle=settle)
    if nested:
        with database.transaction() as session:
            session.get_one(JobRecord, other.id).output_url = f"file://{tmp_path}/"
            rename_items(session, other, "out/")
    assert step(database)
    assert pictures(tmp_path) == [0, 2]


def rename_items(session: Any, job: JobRecord, folder: str) -> None:
    for item in session.scalars(select(ItemRecord).where(ItemRecord.job_id == job.id)):
        item.output_key = folder + item.output_key
        item.output_key_digest = fold(item.output_key)


def test_what_another_job_may_still_write_stays(database: Database, tmp_path: Path) -> None:
    write_outputs(tmp_path, 6)
    add_job(database, tmp_path, outputs_expire=True)
    with database.transaction() as session:
        make_job(session, state=JobState.QUEUED, items=2, output_url=f"file://{tmp_path}/out")
    assert step(database)
    assert pictures(tmp_path) == [0, 1]


def test_outputs_wait_while_a_job_is_planned_that_may_need_them(database: Database, tmp_path: Path) -> None:
    write_outputs(tmp_path, 6)
    job = add_job(database, tmp_path, outputs_expire=True)
    with database.transaction() as session:
        planning = make_job(session, state=JobState.RUNNING, planned_at=None, output_url=f"file://{tmp_path}/out/")
        planning.lease_expires_at = now(session) + datetime.timedelta(days=1)
    assert step(database)
    assert pictures(tmp_path) == [0, 1, 2, 3, 4, 5]
    assert not step(database), "it rests before the next look"
    with database.transaction() as session:
        session.get_one(JobRecord, planning.id).planned_at = now(session)
        session.get_one(JobRecord, job.id).lease_expires_at = None
    assert step(database)
    assert pictures(tmp_path) == []


def test_a_parent_stays_until_its_child_is_planned_from_it(database: Database, tmp_path: Path) -> None:
    parent = add_job(database, tmp_path)
    with database.transaction() as session:
        child = make_job(session, state=JobState.RUNNING, planned_at=None, parent_job_id=parent.id)
        child.lease_expires_at = now(session) + datetime.timedelta(days=1)
    assert claim(database) is None
    with database.transaction() as session:
        session.get_one(JobRecord, child.id).planned_at = now(session)
    assert step(database)
    with database.reading() as session:
        [left] = session.scalars(select(JobRecord)).all()
    assert (left.id, left.parent_job_id) == (child.id, None)


def test_an_expired_job_is_gone_for_callers_at_once(database: Database, tmp_path: Path) -> None:
    job = add_job(database, tmp_path)
    with database.reading() as session:
        for look in (find_job, job_status):
            with pytest.raises(NotFound):
                look(session, TENANT, job.id)
        assert job_page(session, TENANT, limit=10).rows == []


class Crash(BaseException):
    """A process that dies: nothing catches it."""


def test_a_crash_between_any_two_transactions_is_followed(database: Database, tmp_path: Path) -> None:
    write_outputs(tmp_path, 6)
    add_job(database, tmp_path, outputs_expire=True)
    crashes = 0
    for survived in range(100):
        lease = claim(database)
        if lease is None:
            break
        left = survived
        real = database.transaction

        def counted(real: Any = real) -> Any:
            nonlocal left
            if not left:
                raise Crash
            left -= 1
            return real()

        dying = Database.__new__(Database)
        dying.engine = database.engine
        dying.transaction = counted  # type: ignore[method-assign]
        try:
            advance(
                dying,
                Storages(),
                lease,
                shelf=CardShelf(),
                allowed=(),
                ring=lambda _q, _n: None,
                draw_sheet=lambda _j, _f: {},
            )
        except Crash:
            crashes += 1
            lease_runs_out(database)
    assert crashes > 10
    assert rows(database) == {}
    assert pictures(tmp_path) == []


class Refusing(Storages):
    """Storage that deletes nothing behind the first few objects."""

    def __init__(self, error: StorageError, after: int = 0) -> None:
        super().__init__()
        self._error, self._left = error, after

    def at(self, location: Location) -> Storage:
        if not self._left:
            raise self._error
        self._left -= 1
        return super().at(location)


@pytest.mark.parametrize("error", [StorageError("503 SlowDown"), AccessDenied("403")])
def test_outputs_that_storage_does_not_let_go_keep_their_rows(
    database: Database, tmp_path: Path, error: StorageError
) -> None:
    write_outputs(tmp_path, 6)
    add_job(database, tmp_path, outputs_expire=True)
    for _ in range(LEASE_ATTEMPTS - 1):
        with pytest.raises(type(error)):
            step(database, Refusing(error))
        assert claim(database) is None, "the lease paces the next try"
        lease_runs_out(database)
    assert step(database, Refusing(error, after=2))
    assert rows(database)["results"] == 6
    assert claim(database) is None, "it rests"
    lease_runs_out(database)
    assert step(database)
    assert pictures(tmp_path) == []
    assert rows(database) == {}


def test_a_worker_that_stops_leaves_the_rest_to_another(database: Database, tmp_path: Path) -> None:
    add_job(database, tmp_path)
    stopping = threading.Event()
    lease = claim(database, stopping)
    assert lease is not None
    stopping.set()
    advance(
        database,
        Storages(),
        lease,
        shelf=CardShelf(),
        allowed=(),
        ring=lambda _q, _n: None,
        draw_sheet=lambda _j, _f: {},
    )
    assert rows(database)["items"] == 6
    assert step(database), "at once: the lease was given back"
    assert rows(database) == {}


def test_ten_thousand_items_go_in_bounded_batches(database: Database, tmp_path: Path) -> None:
    add_job(database, tmp_path, items=10_000, shard_size=256)
    largest = 0

    def count(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal in_transaction
        if statement.startswith("DELETE"):
            in_transaction += cursor.rowcount

    def end(_connection: Any) -> None:
        nonlocal in_transaction, largest
        largest, in_transaction = max(largest, in_transaction), 0

    in_transaction = 0
    event.listen(database.engine, "after_cursor_execute", count)
    event.listen(database.engine, "commit", end)
    assert step(database)
    event.remove(database.engine, "after_cursor_execute", count)
    event.remove(database.engine, "commit", end)
    assert rows(database) == {}
    assert retention.BATCH_ROWS <= largest <= retention.BATCH_ROWS + 1


def test_messages_go_30_days_after_they_ended_in_bounded_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 2)
    with database.transaction() as session:
        make_webhook(session)
        job = make_job(session, state=JobState.ENDED)
        for _ in range(7):
            events.record(session, job.tenant_id, job.id, "job.ended", actor="service")
        messages = session.scalars(select(WebhookDeliveryRecord).order_by(WebhookDeliveryRecord.event_id)).all()
        for message, days in zip(messages, (31, 31, 31, 29, 0), strict=False):
            message.state = DeliveryState.FAILED if days == 0 else DeliveryState.DELIVERED
            message.ended_at = now(session) - datetime.timedelta(days=days)
        for message in messages:  # two wait: only what has ended goes, however old it is
            message.created_at -= datetime.timedelta(days=400)
    for gone in (2, 1, 0):
        with database.transaction() as session:
            assert retention.drop_messages(session) == gone
    with database.reading() as session:
        left = session.scalars(select(WebhookDeliveryRecord.event_id).order_by(WebhookDeliveryRecord.event_id)).all()
    assert left == [message.event_id for message in messages[3:]]
    assert rows(database)["events"] == 7


def test_the_rows_that_go_in_one_statement_take_no_others_along(database: Database, tmp_path: Path) -> None:
    """A cascade would not be counted: so whatever refers to a row goes before it."""
    order = [record.__tablename__ for record, _key in retention.TABLES]  # type: ignore[attr-defined]
    for name in order:
        for constraint in Record.metadata.tables[name].foreign_keys:
            referred = constraint.column.table.name
            if referred in order:
                assert order.index(name) < order.index(referred), f"{name} refers to {referred}"
    referring = {
        table.name
        for table in Record.metadata.sorted_tables
        for constraint in table.foreign_keys
        if constraint.column.table.name == "jobs"
    }
    assert referring - {"jobs"} <= set(order)


def test_the_key_of_an_expired_job_is_free(database: Database, tmp_path: Path) -> None:
    with database.transaction() as session:
        expired = now(session) - datetime.timedelta(days=1)
        make_job(session, state=JobState.ENDED, idempotency_key="spring", expires_at=expired)
    with database.transaction() as session:
        free_key(session, "default", "spring")
        job = make_job(session, idempotency_key="spring")
        free_key(session, "default", "spring")
        session.refresh(job)
        assert job.idempotency_key == "spring"
