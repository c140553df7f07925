"""What the benchmarks of the queue run on: real servers, and this system's own processes.

The servers are those of the tests. From a checkout only: `tests` is in no wheel.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from jobs.database import Database
from migrations import upgrade
from tests.nursery import ROOT
from tests.servers import Broker, Postgres
from tests.system.processes import Api, Settings, Worker


class DurablePostgres(Postgres):
    """Postgres as in production: what is committed survives a crash of the machine. All who use Postgres use this."""

    @property
    def settings(self) -> dict[str, str]:
        return super().settings | {
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "shared_buffers": "256MB",
            "max_wal_size": "4GB",
            "min_wal_size": "80MB",
            "io_method": "worker",
        }

    def libpq_url(self, database: str) -> str:
        """The database's URL for those who speak to libpq, asyncpg or sqlx."""
        return f"postgresql://app@localhost/{database}?host={self.folder}"


class BenchWorker(Worker):
    """A real worker process with one thing changed, by the program that starts it."""

    def __init__(self, parent: Path, settings: Settings, program: str) -> None:
        super().__init__(parent, settings)
        self.program = program


class System:
    """Restyle: an API, and as many workers as asked for."""

    def __init__(
        self, folder: Path, database_url: str, broker: Broker, work: Path, workers: int, program: str, **extra: str
    ) -> None:
        database = Database(database_url)
        upgrade(database.engine)
        database.close()
        self.settings = Settings(
            database_url=database_url,
            broker_url=broker.url,
            storage_url=f"file://{work}/storage",
            allowed_prefixes=f"file://{work}/",
            extra={"OMP_NUM_THREADS": "1", **extra},
        )
        self.work = work
        self.folder = folder
        self.program = program
        self.api = Api(folder, self.settings)
        self.workers = [BenchWorker(folder, self.settings, program) for _ in range(workers)]

    def __enter__(self) -> System:
        processes = [self.api, *self.workers]
        with contextlib.ExitStack() as started, ThreadPoolExecutor(len(processes)) as together:
            for process in processes:
                started.callback(process.kill)
            list(together.map(lambda process: process.start(), processes))
            self._stop = started.pop_all().close
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self.api.client.close()

    def manifest(self, name: str, count: int) -> str:
        """Write a manifest of so many pictures; return its URL."""
        path = self.work / f"{name}.jsonl"
        with path.open("w") as lines:
            for item in range(count):
                key = f"catalogue/{item // 1000:05d}/product-{item:07d}.jpg"
                lines.write(f'{{"key": "{key}", "product_id": "P{item:07d}"}}\n')
        return f"file://{path}"

    def enqueue(self, manifest_url: str, name: str, **options: Any) -> str:
        """Enqueue a job over a manifest by the public API; return its id."""
        return self.api.enqueue(
            {
                "recipe": {"model": "unchanged"},
                "source": {"type": "manifest", "url": manifest_url},
                "output_url": f"file://{self.work}/out-{name}/",
                **options,
            }
        )

    def resume(self, job_id: str) -> None:
        """Confirm a job by the public API."""
        self.api.client.post(f"/v1/jobs/{job_id}/resume").raise_for_status()


def drop_dead(processes: list[subprocess.Popen[bytes]]) -> None:
    """Kill processes that we started as sessions of their own, with all their children, as a lost machine would."""
    for process in processes:
        for pid in [process.pid, *(int(path.name) for path in Path("/proc").glob("[0-9]*"))]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getsid(pid) == process.pid:
                    os.kill(pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def session(url: str) -> Iterator[psycopg.Connection]:
    """Lend a connection that commits each statement."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}
