"""Runs this system on one job: plans it, drains it, watches it over HTTP meanwhile; and how soon small jobs start."""

from __future__ import annotations

import datetime
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks.stack import DurablePostgres, System, session
from jobs.database import Database
from jobs.records import JobRecord, ResultRecord
from tests.servers import Broker

LOOK_SECONDS = 0.02
LIMIT_SECONDS = 900.0
WORKERS = 2
COPY_BYTES = 1 << 20
ITEM_TABLES = ("items", "results", "item_errors", "bad_rows")
WORKER = "benchmarks.noop_worker"


@dataclass(frozen=True, kw_only=True)
class Ours:
    """What one run came to."""

    enqueued_per_second: float
    drained_per_second: float
    copied_per_second: float
    copied_bare_per_second: float
    status_p99_ms: float
    status_idle_p99_ms: float
    status_looks: int
    wal_bytes_per_item: float
    dead_tuples_per_item: float
    dead_tuples_per_item_everywhere: float
    worker_peak_mb: float
    pickup_p95_ms: float
    pickup_p95_ms_no_broker: float


@dataclass(frozen=True, kw_only=True)
class OursOnSqlite:
    """What one run on SQLite came to."""

    items: int
    enqueued_per_second: float
    drained_per_second: float
    status_p99_ms: float
    told_locked: int  # lines of logs, of the API and of the workers, that speak of a locked database
    worker_peak_mb: float


def measure(count: int, pickups: int, idle_looks: int, folder: Path, work: Path, postgres: DurablePostgres) -> Ours:
    """Plan a job of `count` items on Postgres, then drain it; compare with COPY of the rows that came of it.

    Each by itself, as of the peers. Then look at the job `idle_looks` times, and send `pickups` small jobs, and as many
    when the broker is gone.
    """
    url = postgres.url(postgres.create_database())
    with Broker(folder) as broker, System(folder, url, broker, work, WORKERS, WORKER) as system:
        with session(url) as connection:
            before = _number(connection, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        job_id, busy = _run(system, count)
        with session(url) as connection:
            wal = _number(connection, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn") - before
        plan_seconds, drain_seconds = _seconds(url, job_id)
        idle = [_look(system, job_id)[1] for _ in range(idle_looks)]
        peak = max(worker.peak_mb() for worker in system.workers)
        pickup = _pickup(system, pickups)
        broker.stop()
        silent = _pickup(system, pickups)
    with session(url) as connection:  # the workers are gone, so their statistics have arrived
        dead = _number(
            connection, "SELECT sum(n_dead_tup) FROM pg_stat_user_tables WHERE relname = ANY(%s)", ITEM_TABLES
        )
        all_dead = _number(connection, "SELECT sum(n_dead_tup) FROM pg_stat_user_tables")
        copied, bare = _copy(connection, count, "INCLUDING ALL"), _copy(connection, count, "")
    postgres.drop_database(url.partition("@/")[2].partition("?")[0])
    return Ours(
        enqueued_per_second=count / plan_seconds,
        drained_per_second=count / drain_seconds,
        copied_per_second=copied,
        copied_bare_per_second=bare,
        status_p99_ms=_p(99, busy),
        status_idle_p99_ms=_p(99, idle),
        status_looks=len(busy),
        wal_bytes_per_item=wal / count,
        dead_tuples_per_item=dead / count,
        dead_tuples_per_item_everywhere=all_dead / count,
        worker_peak_mb=peak,
        pickup_p95_ms=pickup,
        pickup_p95_ms_no_broker=silent,
    )


def measure_on_sqlite(count: int, folder: Path, work: Path) -> OursOnSqlite:
    """Plan and drain a job of `count` items on SQLite, with as many processes as on Postgres."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        url = f"sqlite:///{place}/restyle.db"
        with Broker(folder) as broker, System(folder, url, broker, work, WORKERS, WORKER) as system:
            job_id, busy = _run(system, count)
            plan_seconds, drain_seconds = _seconds(url, job_id)
            peak = max(worker.peak_mb() for worker in system.workers)
            logs = [system.api.log(), *(worker.log() for worker in system.workers)]
    return OursOnSqlite(
        items=count,
        enqueued_per_second=count / plan_seconds,
        drained_per_second=count / drain_seconds,
        status_p99_ms=_p(99, busy),
        told_locked=sum("locked" in line for log in logs for line in log.splitlines()),
        worker_peak_mb=peak,
    )


def _run(system: System, count: int) -> tuple[str, list[float]]:
    """Plan a job, then drain it and look at it meanwhile. Return its id and the milliseconds of the looks."""
    system.api.wait_until_ended(system.enqueue(system.manifest("first", 1), "first"))  # all processes are awake by then
    job_id = system.enqueue(system.manifest("million", count), "million", require_confirmation=True)
    _wait(system, job_id, lambda job: bool(job["planned"]))
    system.resume(job_id)
    busy = _watch(system, job_id)
    job = _wait(system, job_id, lambda job: job["state"] == "ended")
    assert job["outcome"] == "succeeded", job
    return job_id, busy


def _pickup(system: System, count: int) -> float:
    """Return the 95th percentile of milliseconds from a request to the first claim, of jobs sent to idle workers."""
    manifest = system.manifest("one", 1)
    waits = []
    for number in range(count):
        job = system.api.wait_until_ended(system.enqueue(manifest, f"one-{number}"))
        waits.append((_moment(job["started_at"]) - _moment(job["created_at"])).total_seconds() * 1000)
    return _p(95, waits)


def _watch(system: System, job_id: str) -> list[float]:
    """Ask for the job until every item has settled. Return the milliseconds of the answers while items ran."""
    took: list[float] = []
    until = time.monotonic() + LIMIT_SECONDS
    while True:
        job, milliseconds = _look(system, job_id)
        if job["counts"]["pending"] == 0:
            return took or [milliseconds]
        if job["started_at"]:
            took.append(milliseconds)
        assert time.monotonic() < until, f"not drained in time: {job}"


def _look(system: System, job_id: str) -> tuple[dict[str, Any], float]:
    """Pause, and ask for the job. Return it and the milliseconds of the answer."""
    time.sleep(LOOK_SECONDS)
    asked = time.perf_counter()
    job = system.api.job(job_id)
    return job, (time.perf_counter() - asked) * 1000


def _wait(system: System, job_id: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    until = time.monotonic() + LIMIT_SECONDS
    while not reached(job := system.api.job(job_id)):
        assert time.monotonic() < until, f"not in time: {job}"
        time.sleep(0.1)
    return job


def _seconds(url: str, job_id: str) -> tuple[float, float]:
    """Return the seconds from the request to the end of planning, and from the first claim to the last result."""
    database = Database(url)
    with database.reading() as session:
        job = session.get_one(JobRecord, uuid.UUID(job_id))
        last = session.scalar(select(func.max(ResultRecord.settled_at)).where(ResultRecord.job_id == job.id))
    database.close()
    assert last is not None
    assert job.planned_at is not None
    assert job.started_at is not None
    return (job.planned_at - job.created_at).total_seconds(), (last - job.started_at).total_seconds()


def _copy(connection: Any, count: int, like: str) -> float:
    """Return the rows per second of COPY of the job's own rows into a table like the one that they lie in."""
    connection.execute(f"CREATE TABLE copied (LIKE items {like})")
    with connection.cursor() as cursor, cursor.copy("COPY items TO STDOUT") as copy:
        rows = b"".join(bytes(block) for block in copy)
    started = time.perf_counter()
    with connection.cursor() as cursor, cursor.copy("COPY copied FROM STDIN") as copy:
        for offset in range(0, len(rows), COPY_BYTES):
            copy.write(rows[offset : offset + COPY_BYTES])
    seconds = time.perf_counter() - started
    connection.execute("DROP TABLE copied")
    return count / seconds


def _number(connection: Any, statement: str, *parameters: Any) -> float:
    # ANY takes one list; the other statements take nothing.
    return float(connection.execute(statement, [list(parameters[0])] if parameters else None).fetchone()[0])


def _p(percent: int, values: list[float]) -> float:
    return values[0] if len(values) == 1 else statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)
