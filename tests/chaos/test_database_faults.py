"""R7, R8, R10, R18: a database that restarts, refuses, is full or answers slowly. Workers wait for it, and go on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import make_url

from jobs.states import ItemState
from tests.chaos.fleet import Fleet, wait_until
from tests.chaos.ground import DOSE, Ground
from tests.chaos.proxy import database_behind_a_proxy
from tests.chaos.rates import calm_seconds_for, check_rate, seconds_for
from tests.servers import Postgres

pytestmark = pytest.mark.chaos

SHARD_ITEMS = 128
ITEMS = 4 * SHARD_ITEMS
SLOWLY = {"CHAOS_ITEM_SECONDS": "0.01"}
FULL = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'refused for the test' USING ERRCODE = '{code}';
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON results FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.fixture
def ground(postgres_ground: Ground) -> Ground:
    return postgres_ground


def connect(ground: Ground) -> psycopg.Connection[tuple[object, ...]]:
    url = make_url(ground.settings.database_url)
    host = url.query["host"]
    assert isinstance(host, str)
    return psycopg.connect(host=host, user="app", dbname=url.database, autocommit=True)


def cut_backends(connection: psycopg.Connection[tuple[object, ...]], *, share: float = 1.0) -> None:
    """End the connections of others to this database, or a share of them."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() <= %s",
        [share],
    )


def while_it_runs(ground: Ground, fleet: Fleet, job_id: str, times: int, act: Callable[[], None]) -> list[str]:
    """Do something again and again in the middle of a job, and of further ones if it ends too early."""
    jobs = [job_id]
    for _ in range(times):
        ground.wait_until_begun(fleet, 30, jobs, ground.catalogue("calm-512", ITEMS))
        act()
    return jobs


def settle_up(ground: Ground, fleet: Fleet, jobs: list[str], *, workers: int) -> None:
    for job_id in jobs:
        assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: ITEMS}
    assert len(fleet.living) == workers, "a worker has given up"


def test_r7_a_postgres_that_crashes_and_restarts_costs_no_item(
    ground: Ground, fleet: Fleet, own_postgres: Postgres
) -> None:
    fleet.start(2, **SLOWLY)
    job_id = ground.enqueue(ground.catalogue("calm-512", ITEMS))

    def crash() -> None:
        own_postgres.kill()
        own_postgres.start()

    jobs = while_it_runs(ground, fleet, job_id, DOSE(3, 50), crash)
    settle_up(ground, fleet, jobs, workers=2)


def test_r7_connections_that_are_killed_all_the_time_cost_no_item(ground: Ground, fleet: Fleet) -> None:
    fleet.start(2, **SLOWLY)
    job_id = ground.enqueue(ground.catalogue("calm-512", ITEMS))
    with connect(ground) as connection:
        jobs = while_it_runs(ground, fleet, job_id, DOSE(10, 300), lambda: cut_backends(connection, share=0.5))
    settle_up(ground, fleet, jobs, workers=2)


def test_r7_a_server_without_a_free_connection_costs_no_item(ground: Ground, fleet: Fleet) -> None:
    fleet.start(2, **SLOWLY)
    job_id = ground.enqueue(ground.catalogue("calm-512", ITEMS))

    def exhaust() -> None:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(connect(ground))
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    stack.enter_context(connect(ground))
            for worker in fleet.living:
                seen = len(worker.log())
                cut_own(first)
                deadline = time.monotonic() + 2
                while len(worker.log()) == seen and time.monotonic() < deadline:
                    with contextlib.suppress(psycopg.OperationalError):
                        stack.enter_context(connect(ground))

    jobs = while_it_runs(ground, fleet, job_id, DOSE(1, 20), exhaust)
    settle_up(ground, fleet, jobs, workers=2)


def cut_own(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """End the connections of the product, not those of the test."""
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'restyle'")


@pytest.mark.parametrize(("code", "name"), [("53100", "disk_full"), ("40P01", "deadlock_detected")])
def test_r8_a_commit_that_is_refused_for_a_while_costs_no_item(
    ground: Ground, fleet: Fleet, code: str, name: str
) -> None:
    """The disk is not really full: a trigger says so, with the server's own code for it."""
    fleet.start(2, **SLOWLY)
    with connect(ground) as connection:
        connection.execute(FULL.format(code=code).encode())
        try:
            job_id = ground.enqueue(ground.catalogue("calm-512", ITEMS))
            wait_until(lambda: fleet.log().count("refused for the test") >= DOSE(3, 100), "commits to be refused")
        finally:
            connection.execute(b"DROP TRIGGER refuse ON results; DROP FUNCTION refuse")
    settle_up(ground, fleet, [job_id], workers=2)


def test_r8_statements_that_time_out_for_a_while_cost_no_item(ground: Ground, fleet: Fleet) -> None:
    fleet.start(2, **SLOWLY)
    job_id = ground.enqueue(ground.catalogue("calm-512", ITEMS))
    name = make_url(ground.settings.database_url).database
    with connect(ground) as connection:

        def time_out() -> None:
            connection.execute(f"ALTER DATABASE {name} SET statement_timeout = '1ms'".encode())
            cut_own(connection)
            time.sleep(2)  # the length of the fault
            connection.execute(f"ALTER DATABASE {name} RESET statement_timeout".encode())
            cut_own(connection)

        jobs = while_it_runs(ground, fleet, job_id, DOSE(1, 30), time_out)
    settle_up(ground, fleet, jobs, workers=2)


def test_r10_a_slow_and_lossy_way_to_the_database_loses_no_lease(ground: Ground) -> None:
    """Pieces are 50 ms ± 20 late, and one in fifty is late by the time that sending it again takes.

    With leases as long as they are by default: those of a few seconds that other tests have are lost here, because
    a heartbeat of several statements takes a good part of them.
    """
    items, fleet = DOSE(2, 8) * SHARD_ITEMS, ground.fleet()
    seconds = {"CHAOS_ITEM_SECONDS": str(DOSE(1, 6) / 100)}  # long enough for the beginning and the end not to count
    source = ground.catalogue(f"calm-{items}", items)
    with database_behind_a_proxy(ground.settings.database_url) as (proxy, url):
        fleet.start(2, RESTYLE_DATABASE_URL=url, RESTYLE_LEASE_SECONDS="15", **seconds)
        try:
            calm = calm_seconds_for(ground, fleet, source, items)
            proxy.slow_down(0.05, 0.02, 0.02)
            slow = seconds_for(ground, fleet, source, items)
        finally:
            fleet.kill()
    claimed, needed = fleet.count("claimed"), 2 + 2 * items // SHARD_ITEMS
    lost = sum(len(worker.logged(event)) for worker in fleet.workers for event in ("lease_lost", "results_refused"))
    print(f"{lost} of {claimed} leases were lost though nobody died; {needed} were needed")
    assert max(lost, claimed - needed) <= needed // 10_000
    check_rate("on a slow and lossy way", calm, slow, least=0.8)


def test_r18_an_old_snapshot_and_an_idle_transaction_hold_nobody_up(ground: Ground, fleet: Fleet) -> None:
    source, jobs = ground.catalogue("calm-512", ITEMS), DOSE(1, 50)
    fleet.start(2)
    calm = calm_seconds_for(ground, fleet, source, ITEMS, jobs=jobs)
    with connect(ground) as reader, connect(ground) as idler:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM shards")
        idler.execute("BEGIN")
        idler.execute("UPDATE jobs SET priority = priority WHERE id = %s", ["00000000-0000-0000-0000-000000000000"])
        held = seconds_for(ground, fleet, source, ITEMS, jobs=jobs)
    assert len(fleet.living) == 2
    check_rate("beside an old snapshot and an idle transaction", calm, held, least=0.6)
