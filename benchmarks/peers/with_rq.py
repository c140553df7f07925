"""RQ: enqueued in one pipeline a batch, worked by SimpleWorker, which does not fork for each job."""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue, SimpleWorker
from rq.worker import Worker

from benchmarks.peers import witness

BATCH = 1000


def noop(item: int) -> None:
    pass


def work(item: int) -> None:
    witness.work(item)


def queue() -> Queue:
    return Queue("bench", connection=Redis.from_url(os.environ["BENCH_URL"]))


def prepare() -> None:
    """Nothing is needed."""


def enqueue(count: int, kind: str) -> None:
    task = work if kind == "work" else noop
    to = queue()
    for first in range(0, count, BATCH):
        items = range(first, min(first + BATCH, count))
        to.enqueue_many([Queue.prepare_data(task, [item], result_ttl=0) for item in items])


def run_worker() -> None:
    """Work; where recovery is measured, as users do: by the worker that forks."""
    bench = queue()
    kind = Worker if "BENCH_WITNESS" in os.environ else SimpleWorker
    kind([bench], connection=bench.connection).work(logging_level="WARNING")
