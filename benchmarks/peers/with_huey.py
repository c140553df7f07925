"""Huey on Redis; results are not stored."""

from __future__ import annotations

import os

from huey import RedisHuey

app = RedisHuey("bench", url=os.environ["BENCH_URL"], results=False)


@app.task()
def noop(item: int) -> None:
    pass


def prepare() -> None:
    """Nothing is needed."""


def enqueue(count: int, _kind: str) -> None:
    for item in range(count):
        noop(item)
