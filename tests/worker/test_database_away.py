"""A database that goes away in the middle: the worker's threads survive, wait, and go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from jobs import leases
from jobs.database import Database
from jobs.states import ItemState
from migrations import upgrade
from tests import servers
from tests.worker.test_control import Held
from tests.worker.test_stream import SIZE, Bench, Invert, prepared
from worker.heartbeat import Control, Heartbeat
from worker.held import HeldLease


@pytest.fixture
def server(servers_folder: Path) -> Iterator[servers.Postgres]:
    """A server of the test's own, to be killed."""
    with servers.Postgres(servers_folder) as server:
        yield server


@pytest.fixture
def database(server: servers.Postgres) -> Iterator[Database]:
    database = Database(server.url(server.create_database()))
    upgrade(database.engine)
    yield database
    database.close()


def test_results_wait_for_a_server_that_crashed_and_are_recorded_once(
    server: servers.Postgres, database: Database, tmp_path: Path
) -> None:
    bench, pipeline = Bench(database, tmp_path), Held()
    heartbeat = Heartbeat(database, bench.held_leases, lease_seconds=60)
    control = Control(database, bench.held_leases)
    held = HeldLease(bench.claim())
    bench.settler.open(held)
    bench.stream.feed(held, prepared(held.claim, pipeline), held.claim.items)
    assert pipeline.reached.wait(30)
    server.kill()
    pipeline.go_on.set()
    assert not bench.settler.wait_until_idle(2)
    heartbeat.beat()
    control.look()
    assert held.wanted, "a database that is away says nothing about a lease"
    server.start()
    assert bench.settler.wait_until_idle(60)
    heartbeat.beat()
    results = bench.results(held.claim)
    assert len(results) == SIZE
    assert {row.state for row in results.values()} == {ItemState.SUCCEEDED}


def test_a_commit_whose_answer_was_lost_is_not_repeated(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(database, tmp_path)
    settle, failed = leases.settle, []

    def settle_and_lose_the_answer(session, settlements):  # type: ignore[no-untyped-def]
        ended = settle(session, settlements)
        if settlements[0].results and not failed:
            failed.append(len(settlements))
            session.commit()
            raise OperationalError("COMMIT", None, psycopg.OperationalError("the connection is lost"))
        return ended

    # So that some of the results come after the transaction in doubt, in the same shard.
    monkeypatch.setattr("worker.settler.SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(leases, "settle", settle_and_lose_the_answer)
    pipeline = Held()
    held = HeldLease(bench.claim(replace={0: b""}))  # an item that is settled before the device has done any
    bench.settler.open(held)
    bench.stream.feed(held, prepared(held.claim, pipeline), held.claim.items)
    while not failed:
        assert pipeline.reached.wait(60)
    pipeline.go_on.set()
    assert bench.settler.wait_until_idle(60)
    assert held.alive, "nothing was taken for unrecordable"
    assert len(bench.results(held.claim)) == SIZE


def test_backends_that_are_killed_over_and_over_cost_no_result(
    server: servers.Postgres, database: Database, tmp_path: Path
) -> None:
    bench = Bench(database, tmp_path)
    claim = bench.claim()
    held = HeldLease(claim)
    bench.settler.open(held)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'restyle'"
    with psycopg.connect(host=str(server.folder), user="app", dbname="postgres", autocommit=True) as connection:
        connection.execute(cut)
        bench.stream.feed(held, prepared(claim, Invert()), claim.items)
        for _ in range(20):
            connection.execute(cut)
            if bench.settler.wait_until_idle(0.2):
                break
    assert bench.settler.wait_until_idle(60)
    assert len(bench.results(claim)) == SIZE
