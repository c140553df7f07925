"""Dramatiq on Redis, without the middleware that counts for Prometheus."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import witness

broker = RedisBroker(url=os.environ["BENCH_URL"])
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(item: int) -> None:
    pass


@dramatiq.actor
def work(item: int) -> None:
    witness.work(item)


def prepare() -> None:
    """Nothing is needed."""


def enqueue(count: int, kind: str) -> None:
    actor = work if kind == "work" else noop
    for item in range(count):
        actor.send(item)
