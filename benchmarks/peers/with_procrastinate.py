"""Procrastinate: deferred in batches, 16 asynchronous jobs at a time in each process."""

from __future__ import annotations

import asyncio
import os

from procrastinate import App, PsycopgConnector

from benchmarks.peers import witness

BATCH = 1000

app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_URL"], min_size=2, max_size=18))


@app.task(name="noop")
async def noop(item: int) -> None:
    pass


@app.task(name="work")
def work(item: int) -> None:
    witness.work(item)


def prepare() -> None:
    async def apply() -> None:
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    asyncio.run(apply())


def enqueue(count: int, kind: str) -> None:
    task = work if kind == "work" else noop

    async def defer() -> None:
        async with app.open_async():
            for first in range(0, count, BATCH):
                items = range(first, min(first + BATCH, count))
                await task.batch_defer_async(*({"item": item} for item in items))

    asyncio.run(defer())


def run_worker() -> None:
    app.run_worker(concurrency=1 if "BENCH_WITNESS" in os.environ else 16, fetch_job_polling_interval=1)
