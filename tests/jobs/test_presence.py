"""Presence: a lock that goes with its worker's connection, and what others make of it."""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection

from jobs import claims, presence
from jobs.claims import Claim
from jobs.database import Database
from jobs.job_leases import JobLease, claim_job, hold, kept, let_go
from jobs.records import JobRecord
from jobs.states import JobState
from tests.factories import make_job

WORKER = uuid.UUID(int=1 << 127 | 7)
KEY = presence.key_of(WORKER)
OTHER_KEY = presence.key_of(uuid.uuid4())


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    yield database
    database.close()


def claim(database: Database) -> Claim:
    with database.transaction() as session:
        make_job(session, items=1)
    return next_claim(database)


def next_claim(database: Database, key: int | None = KEY) -> Claim:
    with database.transaction() as session:
        [claimed] = claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=600, presence_key=key)
    return claimed


def expire(database: Database, keys: set[int]) -> frozenset[str]:
    with database.transaction() as session:
        return presence.expire_shard_leases(session, keys)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for the server: it ends a process a moment after its connection was closed."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_key_is_one_that_postgres_takes_whatever_the_worker_is_called() -> None:
    assert 0 < KEY < 2**62
    assert presence.key_of(uuid.UUID(int=2**128 - 1)) == 2**62 - 1


def test_a_lease_is_missed_once_its_workers_connection_is_gone(database: Database) -> None:
    claim(database)
    with database.lone_connection() as looking:
        presence.hold(looking, OTHER_KEY)
        with database.lone_connection() as connection:
            presence.hold(connection, KEY)
            seen = presence.look(looking, OTHER_KEY)
            assert seen == presence.Look(held=True, present_count=2, absent=frozenset())
            assert expire(database, {KEY}) == frozenset(), "it is there: whoever asks is mistaken"
        wait_until(lambda: presence.look(looking, OTHER_KEY).absent == {KEY})
        assert expire(database, {KEY}) == {"gpu"}
        assert presence.look(looking, OTHER_KEY).absent == frozenset()
    rescued = next_claim(database)
    assert rescued.lease.attempt == 2


def test_a_lease_without_presence_is_missed_by_nobody(database: Database) -> None:
    with database.transaction() as session:
        make_job(session, items=1)
    next_claim(database, key=None)
    with database.lone_connection() as looking:
        assert presence.look(looking, KEY).absent == frozenset()


def claim_step(database: Database, key: int | None = KEY) -> JobLease | None:
    with database.transaction() as session:
        return claim_job(
            session, worker_id=WORKER, lease_seconds=600, stopping=threading.Event(), presence_key=lambda: key
        )


def test_a_lease_on_a_whole_job_is_missed_once_its_workers_connection_is_gone(database: Database) -> None:
    def expire() -> frozenset[str]:
        with database.transaction() as session:
            return presence.expire_job_leases(session, {KEY})

    with database.transaction() as session:
        make_job(session, state=JobState.PLANNING)
    first = claim_step(database)
    assert first is not None
    with database.lone_connection() as looking:
        presence.hold(looking, OTHER_KEY)
        with database.lone_connection() as connection:
            presence.hold(connection, KEY)
            assert presence.look(looking, OTHER_KEY).absent == frozenset()
            assert expire() == frozenset(), "it is there: whoever asks is mistaken"
            assert claim_step(database) is None
        wait_until(lambda: presence.look(looking, OTHER_KEY).absent == {KEY})
        assert expire() == {"gpu"}
        assert presence.look(looking, OTHER_KEY).absent == frozenset()
    second = claim_step(database)
    assert second is not None
    assert (second.job_id, second.token, second.attempt) == (first.job_id, first.token + 1, 2)


def test_a_lease_on_a_whole_job_says_what_its_worker_knows_of_its_presence(database: Database) -> None:
    known: list[int | None] = [KEY]
    with database.transaction() as session:
        job_id = make_job(session, state=JobState.PLANNING).id
        stopping = threading.Event()
        lease = claim_job(
            session, worker_id=WORKER, lease_seconds=600, stopping=stopping, presence_key=lambda: known[-1]
        )
    assert lease is not None

    def written() -> int | None:
        with database.reading() as session:
            return session.get_one(JobRecord, job_id).presence_key

    assert written() == KEY
    known.append(None)
    with database.transaction() as session:
        hold(session, lease)
    assert written() is None, "it could not come back: nobody may take that for a death"
    known.append(OTHER_KEY)
    with kept(database, dataclasses.replace(lease, seconds=0.1)):
        wait_until(lambda: written() == OTHER_KEY)
    with database.transaction() as session:
        let_go(session, lease)
    assert written() is None


def test_a_second_connection_takes_the_lock_while_the_server_believes_in_the_first(database: Database) -> None:
    claim(database)
    with database.lone_connection() as second:
        with database.lone_connection() as first:
            presence.hold(first, KEY)
            presence.hold(second, KEY)
        for _ in range(20):
            assert presence.look(second, KEY) == presence.Look(held=True, present_count=1, absent=frozenset())


class Pooled:
    """What a client sees of a pooler in transaction mode: each statement may reach another server process."""

    def __init__(self, connections: list[Connection]) -> None:
        self._connections = connections

    def scalar(self, statement: Any) -> Any:
        self._connections.append(self._connections.pop(0))
        return self._connections[0].scalar(statement)


def test_a_pooler_in_between_is_noticed(database: Database) -> None:
    with database.lone_connection() as one, database.lone_connection() as two, database.reading() as session:
        assert presence.is_own(one, session)
        assert not presence.is_own(Pooled([one, two]), session)  # type: ignore[arg-type]
        assert not presence.is_own(session.connection(), session), "the process of another's transaction"


def test_a_lock_that_is_another_processs_is_not_held(database: Database) -> None:
    with database.lone_connection() as one, database.lone_connection() as two:
        presence.hold(one, KEY)
        assert not presence.look(two, KEY).held
