"""awa on its queue storage: enqueued by COPY, 64 jobs at a time. Its core is compiled; one process uses all cores."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import awa


@dataclass
class Noop:
    item: int


def prepare() -> None:
    client = awa.Client(os.environ["BENCH_URL"])
    client.migrate()
    client.install_queue_storage()


def enqueue(count: int, _kind: str) -> None:
    awa.Client(os.environ["BENCH_URL"]).enqueue_many_copy([Noop(item) for item in range(count)], queue="bench")


def run_worker() -> None:
    async def run() -> None:
        client = awa.AsyncClient(os.environ["BENCH_URL"])

        @client.task(Noop, queue="bench")
        async def noop(_job: object) -> None:
            return None

        await client.start([("bench", 64)])
        await asyncio.Event().wait()

    asyncio.run(run())
