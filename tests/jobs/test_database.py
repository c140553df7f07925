"""Transactions, the clock, and appending many rows: the same on both databases."""

from __future__ import annotations

import datetime
import threading
import time
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from jobs import claims
from jobs.database import AWAY, Database, append, now
from jobs.records import BadRowRecord, ItemRecord, JobRecord, ResultRecord
from jobs.states import ItemState, JobState
from tests.chaos.proxy import database_behind_a_proxy
from tests.factories import item_row, make_job, result_row


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    yield database
    database.close()


def test_the_database_tells_the_time_in_utc(database: Database) -> None:
    with database.reading() as session:
        first, second = now(session), now(session)
    assert first.tzinfo is datetime.UTC
    assert first <= second
    assert abs(datetime.datetime.now(datetime.UTC) - first) < datetime.timedelta(minutes=1)


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    def broken() -> None:
        with database.transaction() as session:
            make_job(session)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(JobRecord)) == 0


def test_appended_rows_come_back_as_they_were(database: Database) -> None:
    attributes = {"colour": 'dark "blue"\t\\N', "sizes": [1, 2.5, None], "emoji": "👟"}
    with database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING)
        rows = [item_row(job, 0, attributes=attributes, product_id=None), item_row(job, 1, product_id="a\tb\nc\\d")]
        append(session, ItemRecord, rows)
        append(session, ResultRecord, [result_row(job, 1, ItemState.FAILED, error_message="ünïcode\r\n")])
    with database.reading() as session:
        first, second = session.scalars(select(ItemRecord).order_by(ItemRecord.item_no))
        result = session.scalars(select(ResultRecord)).one()
        nothing = session.scalar(text("SELECT count(*) FROM items WHERE attributes IS NULL"))
    assert (first.attributes, first.product_id) == (attributes, None)
    assert (second.attributes, second.product_id) == (None, "a\tb\nc\\d")
    assert first.output_key_digest == rows[0]["output_key_digest"]
    assert (result.state, result.error_message) == (ItemState.FAILED, "ünïcode\r\n")
    assert nothing == 1, "no attributes is NULL, not the JSON value null"


def test_appending_a_row_twice_is_refused_whole(database: Database) -> None:
    with database.transaction() as session:
        job = make_job(session, items=1)
    bad_row = {"job_id": job.id, "code": "x", "message": "x", "text": "x"}
    with pytest.raises(IntegrityError), database.transaction() as session:
        append(session, BadRowRecord, [{**bad_row, "row_no": 1}, {**bad_row, "row_no": 1}])
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(BadRowRecord)) == 0


def test_writers_on_sqlite_wait_for_one_another(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(20):
                with database.transaction() as session:
                    session.scalar(select(func.count()).select_from(JobRecord))  # read first, then write
                    make_job(session, items=1)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(JobRecord)) == 160
    database.close()
    assert failures == []


def test_a_worker_stopped_in_a_transaction_does_not_keep_its_shard_locked(postgres: Database) -> None:
    with postgres.transaction() as session:
        make_job(session, items=1)
    stopped = pytest.raises((OperationalError, DBAPIError))
    with stopped, postgres.transaction() as session:
        session.execute(text("SET idle_in_transaction_session_timeout = '300ms'"))  # 5 s, made short for the test
        assert claims.claim(session, worker_id=uuid.uuid4(), queue="gpu", lease_seconds=30)
        deadline = threading.Event()
        for _ in range(100):
            with postgres.transaction() as other:
                claimed = claims.claim(other, worker_id=uuid.uuid4(), queue="gpu", lease_seconds=30)
            if claimed:
                break
            deadline.wait(0.1)
        assert [claim.lease.token for claim in claimed] == [1], "the stopped claim was rolled back"


def test_every_connection_ends_idle_transactions(postgres: Database) -> None:
    with postgres.reading() as session:
        assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "5s"


def test_a_connection_that_died_in_silence_is_replaced_before_it_is_lent(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.database.SILENT_SECONDS", 0)
    cut = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid = :it"
    )
    with postgres.transaction() as first, postgres.transaction() as second:
        died = first.scalar(text("SELECT pg_backend_pid()"))
        second.scalar(text("SELECT 1"))
    with Database(postgres.engine.url.render_as_string(hide_password=False)).lone_connection() as other:
        other.execute(cut, {"it": died})
    for _ in range(3):
        with postgres.transaction() as session, postgres.transaction() as beside:
            assert died not in [each.scalar(text("SELECT pg_backend_pid()")) for each in (session, beside)]


def test_a_server_that_vanishes_without_a_word_is_noticed(postgres_url: str) -> None:
    """No packet comes back, not even an acknowledgement. The kernel alone would try for a quarter of an hour."""
    with database_behind_a_proxy(postgres_url) as (proxy, url):
        database = Database(url)

        def ask_into_the_void() -> None:
            with database.reading() as session:
                now(session)
                proxy.forget()
                now(session)

        started = time.monotonic()
        with pytest.raises(AWAY):
            ask_into_the_void()
        assert time.monotonic() - started < 15
        proxy.mend()
        with database.reading() as session:
            now(session)
        database.close()
