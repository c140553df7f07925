"""The queues that this one is measured against: how each is installed, worked and watched.

Each module `with_…` is the program that such a queue's user would write, in the mode that its own documentation
calls the fastest: an application, two tasks (`noop`, and `work` for the benchmark of recovery), `prepare` and
`enqueue`. It reads where its server is from BENCH_URL. `act` runs one of these in a process of its own.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Poll = Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One queue."""

    name: str
    distribution: str
    needs: tuple[str, ...] = ()  # modules beside its own
    module: str
    store: Literal["broker", "postgres"]
    workers: dict[str, list[str]]  # command lines by what they are called: the best of them counts
    watch: Callable[[str], Poll] = field(repr=False)  # connects; then says how many items have not ended

    @property
    def absence(self) -> str | None:
        """Say why it cannot be measured here, or None."""
        for name in (self.module, *self.needs):
            if importlib.util.find_spec(name) is None:
                return f"{name} is not installed: make bench installs it"
        return None

    @property
    def version(self) -> str:
        return importlib.metadata.version(self.distribution)


def redis_counts(*commands: str) -> Callable[[str], Poll]:
    """Watch a broker: the sum of what these commands, such as "LLEN key", answer."""

    def watch(url: str) -> Poll:
        import redis

        client = redis.Redis.from_url(url)
        return lambda: sum([int(client.execute_command(*command.split())) for command in commands])

    return watch


def row_count(statement: str) -> Callable[[str], Poll]:
    """Watch a Postgres: what this statement counts."""

    def watch(url: str) -> Poll:
        import psycopg

        connection = psycopg.connect(url, autocommit=True)
        return lambda: int(connection.execute(statement.encode()).fetchone()[0])  # type: ignore[index]

    return watch


def awa_counts(url: str) -> Poll:
    import awa

    client = awa.Client(url)
    return lambda: sum(queue.total_queued + queue.running for queue in client.queue_stats())


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def _program(name: str, *arguments: str) -> list[str]:
    return [f"{sysconfig.get_path('scripts')}/{name}", *arguments]


HERE = "benchmarks.peers"
CELERY = _module("celery", "-q", "-A", f"{HERE}.with_celery", "worker", "--without-gossip", "--without-mingle")

PEERS = (
    Peer(
        name="celery",
        distribution="celery",
        module="celery",
        store="broker",
        workers={
            "threads 4": [*CELERY, "--pool=threads", "--concurrency=4"],
            "prefork 2": [*CELERY, "--pool=prefork", "--concurrency=2"],
            "solo": [*CELERY, "--pool=solo"],
        },
        watch=redis_counts("LLEN celery", "HLEN unacked"),
    ),
    Peer(
        name="procrastinate",
        distribution="procrastinate",
        module="procrastinate",
        store="postgres",
        workers={"2 processes × 16": _module(f"{HERE}.act", "with_procrastinate", "work_twice")},
        watch=row_count("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"),
    ),
    Peer(
        name="pgqueuer",
        distribution="pgqueuer",
        module="pgqueuer",
        needs=("asyncpg",),
        store="postgres",
        workers={"2 processes, batches of 100": _module(f"{HERE}.act", "with_pgqueuer", "work_twice")},
        watch=row_count("SELECT count(*) FROM pgqueuer"),
    ),
    Peer(
        name="dramatiq",
        distribution="dramatiq",
        module="dramatiq",
        store="broker",
        workers={"2 processes × 8 threads": _program("dramatiq", f"{HERE}.with_dramatiq", "-p", "2", "-t", "8")},
        watch=redis_counts("HLEN dramatiq:default.msgs"),
    ),
    Peer(
        name="rq",
        distribution="rq",
        module="rq",
        store="broker",
        workers={"2 simple workers": _module(f"{HERE}.act", "with_rq", "work_twice")},
        watch=redis_counts("LLEN rq:queue:bench", "ZCARD rq:wip:bench"),
    ),
    Peer(
        name="huey",
        distribution="huey",
        module="huey",
        store="broker",
        workers={
            "2 processes": _program("huey_consumer", f"{HERE}.with_huey.app", "-k", "process", "-w", "2", "-q"),
            "4 threads": _program("huey_consumer", f"{HERE}.with_huey.app", "-k", "thread", "-w", "4", "-q"),
        },
        watch=redis_counts("LLEN huey.redis.bench"),
    ),
    Peer(
        name="awa",
        distribution="awa-pg",
        module="awa",
        store="postgres",
        workers={"1 process × 64": _module(f"{HERE}.act", "with_awa", "work")},
        watch=awa_counts,
    ),
)
