"""Celery on Redis. No-ops: late acknowledgement, results ignored, messages fetched ahead.

BENCH_CELERY=best sets what makes recovery as quick as this transport allows; otherwise its defaults hold there.
"""

from __future__ import annotations

import os

from celery import Celery

from benchmarks.peers import witness

app = Celery(
    "bench", broker=os.environ["BENCH_URL"].replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
)
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True, worker_prefetch_multiplier=64)
if os.environ.get("BENCH_CELERY") == "best":
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        broker_transport_options={
            "visibility_timeout": 5,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
    )
elif os.environ.get("BENCH_CELERY") == "default":
    app.conf.worker_prefetch_multiplier = 4


@app.task(acks_late=True)
def noop(item: int) -> None:
    pass


@app.task
def work(item: int) -> None:
    witness.work(item)


def prepare() -> None:
    """Nothing is needed."""


def enqueue(count: int, kind: str) -> None:
    task = work if kind == "work" else noop
    for item in range(count):
        task.apply_async((item,))
