"""Runs one peer: enqueues no-ops, lets its workers drain them, and takes the time of both."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Peer
from benchmarks.stack import DurablePostgres, drop_dead, environment, session
from tests.servers import Broker

STALL_SECONDS = 60.0  # without any progress
LOOK_SECONDS = 0.02


class PeerFailed(Exception):
    """A peer could not be measured; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What one run of a peer came to."""

    enqueued_per_second: float
    drained_per_second: float
    workers: str
    wal_bytes_per_item: float | None = None


def measure(peer: Peer, workers: str, count: int, folder: Path, postgres: DurablePostgres) -> Drained:
    """Enqueue and drain `count` no-ops, in a database or a broker of the run's own."""
    if peer.store == "postgres":
        url = postgres.libpq_url(postgres.create_database())
        return _measure(peer, workers, count, url)
    with Broker(folder) as broker:
        return _measure(peer, workers, count, f"unix://{broker.socket_path}?db=0")


def _measure(peer: Peer, workers: str, count: int, url: str) -> Drained:
    if peer.store == "postgres":
        act(peer, url, "prepare")
    before = _wal_bytes(url) if peer.store == "postgres" else None
    enqueue_seconds = float(act(peer, url, "enqueue", str(count)))
    drain_seconds = _drain(peer, workers, url)
    return Drained(
        enqueued_per_second=count / enqueue_seconds,
        drained_per_second=count / drain_seconds,
        workers=workers,
        wal_bytes_per_item=None if before is None else (_wal_bytes(url) - before) / count,
    )


def act(peer: Peer, url: str, action: str, *arguments: str, **more: str) -> str:
    """Let a peer do one thing in a process of its own; return what it says last."""
    command = [sys.executable, "-m", "benchmarks.peers.act", f"with_{peer.name}", action, *arguments]
    done = subprocess.run(
        command, env=environment(BENCH_URL=url, **more), capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise PeerFailed(f"{action}: {done.stderr.strip().splitlines()[-1:]}")
    return (done.stdout.splitlines() or [""])[-1]


def start(command: list[str], url: str, **more: str) -> subprocess.Popen[bytes]:
    """Start a peer's worker in a process group of its own."""
    return subprocess.Popen(
        command,
        env=environment(BENCH_URL=url, **more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _drain(peer: Peer, workers: str, url: str) -> float:
    """Return the seconds from the last look at which nothing had been done to the first at which all had."""
    left = peer.watch(url)
    whole = seen = left()
    progress = started = time.perf_counter()
    process = start(peer.workers[workers], url)
    try:
        while seen:
            time.sleep(LOOK_SECONDS)
            now_left, moment = left(), time.perf_counter()
            if now_left == whole:
                started = moment
            if now_left != seen:
                progress = moment
            seen = now_left
            if process.poll() is not None and seen:
                raise PeerFailed(f"its worker ended with status {process.returncode}")
            if moment - progress > STALL_SECONDS:
                raise PeerFailed(f"no progress for {STALL_SECONDS:.0f} s with {seen} items left")
        return time.perf_counter() - started
    finally:
        drop_dead([process])


def _wal_bytes(url: str) -> int:
    with session(url) as connection:
        row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return int(row[0])
