"""Presence in the worker: a death shows at once, a broken connection shows to nobody."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select, text

from jobs import claims, leases, presence
from jobs.claims import Claim
from jobs.database import Database
from jobs.doorbell import Bell
from jobs.job_leases import JobLease, claim_job
from jobs.records import ShardRecord
from jobs.states import JobState
from tests.factories import make_job
from worker.presence import CONFIRM_SECONDS, Missed, Presence

WAIT_SECONDS = 60.0


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    yield database
    database.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Fleet:
    """Presences on one database, each as if in a process of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.rescued: queue.Queue[tuple[Bell, str]] = queue.Queue()
        self.all: list[Presence] = []

    def join(self, *, looks: bool = True) -> tuple[Presence, Claim]:
        """Start one and claim a shard for it."""
        worker_id = uuid.uuid4()
        joined = Presence(
            self.database,
            worker_id,
            on_change=lambda: None,
            on_rescue=lambda bell, queue: self.rescued.put((bell, queue)) if looks else None,
        )
        self.all.append(joined)
        joined.start()
        wait_until(lambda: joined.key is not None)
        with self.database.transaction() as session:
            make_job(session, items=1)
        with self.database.transaction() as session:
            [claim] = claims.claim(
                session, worker_id=worker_id, queue="gpu", lease_seconds=600, presence_key=joined.key
            )
        return joined, claim

    def terminate(self, key: int) -> None:
        """Cut a worker's connection, as the server may for reasons of its own."""
        statement = text(f"SELECT pg_terminate_backend(pid) FROM ({presence.PRESENT}) AS present WHERE key = :key")
        with self.database.transaction() as session:
            session.execute(statement, {"key": key})

    def backend_of(self, key: int) -> int | None:
        statement = text(f"SELECT max(pid) FROM ({presence.PRESENT}) AS present WHERE key = :key")
        with self.database.reading() as session:
            pid: int | None = session.scalar(statement, {"key": key})
        return pid


@pytest.fixture
def fleet(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setattr("worker.presence.GRACE_SECONDS", 0.2)
    fleet = Fleet(database)
    yield fleet
    for each in fleet.all:
        each.stop()
        fleet.terminate(each._key)  # who pauses between two looks wakes when its connection closes
    for each in fleet.all:
        each.join(WAIT_SECONDS)


def test_the_shard_of_a_worker_that_is_gone_is_free_long_before_its_lease_ends(fleet: Fleet) -> None:
    fleet.join()
    gone, claim = fleet.join(looks=False)
    gone.stop()  # closes its connection, as the kernel does for a process that was killed
    assert fleet.rescued.get(timeout=WAIT_SECONDS) == ("work", "gpu")
    with fleet.database.transaction() as session:
        [rescued] = claims.claim(session, worker_id=uuid.uuid4(), queue="gpu", lease_seconds=600)
    assert rescued.lease.job_id == claim.lease.job_id
    assert rescued.suspect


def test_the_step_of_a_worker_that_is_gone_is_free_long_before_its_lease_ends(fleet: Fleet) -> None:
    def step(worker: Presence) -> JobLease | None:
        with fleet.database.transaction() as session:
            return claim_job(
                session,
                worker_id=uuid.uuid4(),
                lease_seconds=600,
                stopping=threading.Event(),
                presence_key=lambda: worker.key,
            )

    left, _claim = fleet.join()
    gone, claim = fleet.join(looks=False)
    with fleet.database.transaction() as session:
        leases.release(session, claim.lease)
        job_id = make_job(session, state=JobState.PLANNING).id
    assert step(gone) is not None
    assert step(left) is None
    gone.stop()
    assert fleet.rescued.get(timeout=WAIT_SECONDS) == ("plan", "gpu")
    taken_over = step(left)
    assert taken_over is not None
    assert taken_over.job_id == job_id


def test_a_worker_whose_connection_breaks_comes_back_before_anyone_misses_it(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.presence.CONFIRM_SECONDS", 10.0)  # a loaded machine is slow to reconnect
    fleet.join()
    cut, _claim = fleet.join(looks=False)
    key = cut._key
    for _ in range(3):
        before = fleet.backend_of(key)
        fleet.terminate(key)
        wait_until(lambda before=before: fleet.backend_of(key) not in {None, before})  # type: ignore[misc]
        assert cut.key == key
    assert fleet.rescued.empty()


def test_whoever_lost_its_own_connection_judges_nobody_for_a_while(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.presence.GRACE_SECONDS", 600.0)
    looker, _claim = fleet.join()
    gone, _claim = fleet.join(looks=False)
    looks = threading.Semaphore(0)
    look = presence.look

    def counted(*arguments: object) -> presence.Look:
        seen = look(*arguments)  # type: ignore[arg-type]
        if seen.absent:
            looks.release()
        return seen

    monkeypatch.setattr("worker.presence.presence.look", counted)
    gone.stop()
    for _ in range(4):
        assert looks.acquire(timeout=WAIT_SECONDS)
    assert fleet.rescued.empty()
    assert looker.is_alive()


def test_a_worker_that_cannot_come_back_takes_its_presence_off_its_leases(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined, _claim = fleet.join()
    changed = threading.Event()
    joined._on_change = changed.set

    def full() -> None:
        raise RuntimeError("too many clients already")

    monkeypatch.setattr(fleet.database, "lone_connection", full)
    fleet.terminate(joined._key)
    assert changed.wait(WAIT_SECONDS)
    assert joined.key is None


def test_a_heartbeat_writes_what_the_worker_knows_of_its_presence(fleet: Fleet) -> None:
    _joined, claim = fleet.join()
    for key in (None, 5):
        with fleet.database.transaction() as session:
            leases.renew(session, [claim.lease], lease_seconds=600, presence_key=key)
        with fleet.database.reading() as session:
            assert session.scalars(select(ShardRecord.presence_key)).one() == key


def test_without_a_connection_of_its_own_a_worker_has_no_presence(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.presence.presence.is_own", lambda *_: False)
    pooled = Presence(database, uuid.uuid4(), on_change=lambda: None, on_rescue=lambda *_: None)
    pooled.start()
    pooled.join(WAIT_SECONDS)
    assert not pooled.is_alive(), "it does not try again"
    assert pooled.key is None


def test_there_is_no_presence_on_sqlite(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    alone = Presence(database, uuid.uuid4(), on_change=lambda: None, on_rescue=lambda *_: None)
    alone.start()
    alone.join(WAIT_SECONDS)
    assert not alone.is_alive()
    assert alone.key is None
    database.close()


def test_who_is_missed_once_is_not_gone_yet() -> None:
    missed = Missed()
    assert missed.note(frozenset({1, 2}), 0.0) == frozenset()
    assert missed.note(frozenset({1}), CONFIRM_SECONDS / 2) == frozenset()
    assert missed.note(frozenset({1, 2}), CONFIRM_SECONDS) == {1}, "2 was seen in between"
    assert missed.note(frozenset(), CONFIRM_SECONDS * 9) == frozenset()
