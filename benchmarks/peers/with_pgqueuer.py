"""PgQueuer with asyncpg, the faster of its drivers: enqueued and dequeued in batches."""

from __future__ import annotations

import asyncio
import os

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.queries import Queries

ENQUEUE_BATCH = 1000
DEQUEUE_BATCH = 100


async def connect() -> asyncpg.Connection:
    return await asyncpg.connect(os.environ["BENCH_URL"].replace("@localhost/", "@/"))


def prepare() -> None:
    async def install() -> None:
        await Queries.from_asyncpg_connection(await connect()).install()

    asyncio.run(install())


def enqueue(count: int, _kind: str) -> None:
    async def put() -> None:
        queries = Queries.from_asyncpg_connection(await connect())
        for first in range(0, count, ENQUEUE_BATCH):
            size = min(ENQUEUE_BATCH, count - first)
            payloads: list[bytes | None] = [str(first + number).encode() for number in range(size)]
            await queries.enqueue(["noop"] * size, payloads, [0] * size)

    asyncio.run(put())


def run_worker() -> None:
    async def run() -> None:
        pgq = PgQueuer.from_asyncpg_connection(await connect())

        @pgq.entrypoint("noop")
        async def noop(_job: object) -> None:
            pass

        await pgq.run(batch_size=DEQUEUE_BATCH)

    asyncio.run(run())
