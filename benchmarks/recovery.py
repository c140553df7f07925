"""Measures what dying costs: `python -m benchmarks.recovery [--kills N]`.

Two workers of each system work on items of 20 ms; every few seconds one of them, chosen at random, gets SIGKILL with
all its children, and another is started. Each system meets the same kills. Then its server is killed once: its broker,
or Postgres by an immediate restart; this system loses both. A file outside every system, appended to by the items
themselves, says what started and what took effect. `docs/benchmarks.md` says what each figure means.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measure_peers, witnessed
from benchmarks.peers import CELERY, PEERS, Peer
from benchmarks.stack import DurablePostgres, System, drop_dead, session
from benchmarks.witnessed import Kill
from tests.servers import Broker, server_folder

LEASE_SECONDS = 5
PAUSE_SECONDS = 4.0  # from when all are at work to the next kill, on average
ITEMS_PER_KILL = 400  # so that items outlast the kills, at up to 100 a second and with the start of a worker
STALL_SECONDS = 40.0  # a system that does nothing for so long has not recovered
WORKERS = 2

Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A system with its queue full."""

    start: Callable[[], subprocess.Popen[bytes]]
    crash_server: Callable[[], None]
    recorded: Callable[[], tuple[int, int]] | None  # items recorded as done, and records of them, where it keeps any


def measure(name: str, subject: Subject, items: int, kills: int, seed: int, witness: Path) -> Figures:
    """Let a system work through its items while its workers are killed; return what the witness saw."""
    chance = random.Random(seed)
    running = [subject.start() for _ in range(WORKERS)]
    happened: list[Kill] = []
    try:
        for number in range(kills):
            if not _wait_until_at_work(witness, running, items):
                break
            time.sleep(PAUSE_SECONDS * chance.uniform(0.5, 1.5))
            if number == kills // 2:
                subject.crash_server()
                time.sleep(PAUSE_SECONDS)
                _wait_for_effects(witness, len(witnessed.effects(witnessed.read(witness))) + 1)
            victim = running.pop(chance.randrange(WORKERS))
            happened.append(Kill(group=victim.pid, at=time.time()))
            drop_dead([victim])
            running.append(subject.start())
        done = _wait_for_effects(witness, items)
    finally:
        drop_dead(running)
    return {"name": name} | _judge(subject, items, happened, done, witness)


def _judge(subject: Subject, items: int, kills: list[Kill], done: bool, witness: Path) -> Figures:
    lines = witnessed.read(witness)
    effects = witnessed.effects(lines)
    waits = witnessed.recoveries(lines, kills)
    came = sorted(wait for wait in waits if wait is not None)
    figures: Figures = {
        "kills": len(kills),
        "items": items,
        "lost": items - len(effects),
        "bodies_twice": sum(count > 1 for count in effects.values()),
        "recovery_p99_seconds": came[min(len(came) - 1, round(0.99 * len(came)))] if came else None,
        "recovery_median_seconds": statistics.median(came) if came else None,
        "never_resumed": sum(wait is None for wait in waits),
        "items_recomputed_per_kill": (witnessed.starts(lines) - len(effects)) / len(kills) if kills else None,
        "stalled": not done,
    }
    figures["effects_twice"] = figures["bodies_twice"]
    if subject.recorded is not None:
        recorded, records = subject.recorded()
        figures |= {"lost": items - recorded, "effects_twice": records - recorded}
    return figures


def _wait_until_at_work(witness: Path, running: list[subprocess.Popen[bytes]], items: int) -> bool:
    """Wait until each worker has started an item, so that a kill hits one at work. Return False when none will."""
    wanted = {worker.pid for worker in running}
    until = time.monotonic() + STALL_SECONDS
    while time.monotonic() < until:
        lines = witnessed.read(witness)
        if len(witnessed.effects(lines)) >= items:
            return False
        if wanted <= {line.group for line in lines}:
            return True
        time.sleep(0.2)
    return False


def _wait_for_effects(witness: Path, count: int) -> bool:
    """Wait until so many items took effect. Return False when nothing at all has happened for a long time."""
    size, changed = -1, time.monotonic()
    while True:
        now_size = witness.stat().st_size if witness.exists() else 0
        if now_size != size:
            size, changed = now_size, time.monotonic()
            if len(witnessed.effects(witnessed.read(witness))) >= count:
                return True
        if time.monotonic() - changed > STALL_SECONDS:
            return False
        time.sleep(0.2)


@contextlib.contextmanager
def restyle(folder: Path, postgres: DurablePostgres, items: int, witness: Path) -> Iterator[Subject]:
    """Lend this system, its job planned."""
    name = postgres.create_database()
    url = postgres.url(name)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    settings = {"RESTYLE_LEASE_SECONDS": str(LEASE_SECONDS), "BENCH_WITNESS": str(witness)}
    with Broker(folder) as broker, System(folder, url, broker, work, 0, "", **settings) as system:
        job_id = system.enqueue(system.manifest("items", items), "items", failure_policy={"action": "ignore"})

        def crash() -> None:
            broker.kill()
            postgres.kill()
            postgres.start()
            broker.start()

        def recorded() -> tuple[int, int]:
            with session(url) as connection:
                row = connection.execute(
                    "SELECT count(DISTINCT item_no), count(*) FROM results WHERE state = 'succeeded'"
                ).fetchone()
            assert row is not None
            system.api.job(job_id)  # the API lives on as well
            return row[0], row[1]

        command = [sys.executable, "-m", "benchmarks.witness_worker"]
        yield Subject(
            start=lambda: measure_peers.start(command, "", **system.settings.environment()),
            crash_server=crash,
            recorded=recorded,
        )


@contextlib.contextmanager
def peer_subject(
    name: str, command: list[str], folder: Path, postgres: DurablePostgres, items: int, witness: Path, **more: str
) -> Iterator[Subject]:
    """Lend a peer, its queue filled."""
    peer = _peer(name)
    more |= {"BENCH_WITNESS": str(witness)}
    with contextlib.ExitStack() as servers:
        if peer.store == "postgres":
            url = postgres.libpq_url(postgres.create_database())
        else:
            broker = servers.enter_context(Broker(folder))
            url = f"unix://{broker.socket_path}?db=0"

        def crash() -> None:
            server = postgres if peer.store == "postgres" else broker
            server.kill()
            server.start()

        measure_peers.act(peer, url, "prepare")
        measure_peers.act(peer, url, "enqueue", str(items), "work", **more)
        yield Subject(start=lambda: measure_peers.start(command, url, **more), crash_server=crash, recorded=None)


def _peer(name: str) -> Peer:
    return next(peer for peer in PEERS if peer.name == name)


def _act(name: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.peers.act", f"with_{name}", "work"]


ONE_AT_A_TIME: dict[str, tuple[str, list[str], dict[str, str]]] = {
    "celery, defaults": ("celery", [*CELERY, "--concurrency=1"], {"BENCH_CELERY": "default"}),
    "celery, at its best": ("celery", [*CELERY, "--concurrency=1"], {"BENCH_CELERY": "best"}),
    "procrastinate": ("procrastinate", _act("procrastinate"), {}),
    "dramatiq": ("dramatiq", [*_peer("dramatiq").workers["2 processes × 8 threads"][:2], "-p", "1", "-t", "1"], {}),
    "rq": ("rq", _act("rq"), {}),
}


def run(kills: int, items: int, seed: int, names: Sequence[str], *, crash: bool) -> Figures:
    """Measure every system; return the figures by name."""
    rows, missing = [], {}
    with server_folder() as folder, DurablePostgres(folder) as postgres:
        for number, name in enumerate(("restyle", *names)):
            _say(f"{name}: {items} items, {kills} kills")
            witness = folder / f"witness-{number}"
            if name == "restyle":
                lent = restyle(folder, postgres, items, witness)
            else:
                who, command, more = ONE_AT_A_TIME[name]
                if _peer(who).absence:
                    missing[name] = _peer(who).absence
                    continue
                lent = peer_subject(who, command, folder, postgres, items, witness, **more)
            with lent as subject:
                if not crash:
                    subject = Subject(start=subject.start, crash_server=lambda: None, recorded=subject.recorded)
                rows.append(measure(name, subject, items, kills, seed, witness))
            _say(f"  {rows[-1]}")
    ours = rows[0]
    waited = ours["recovery_p99_seconds"]
    return {
        "lost": ours["lost"],
        "effects_twice": ours["effects_twice"],
        "recovery_p99_over_lease": None if waited is None else waited / LEASE_SECONDS,
        "items_recomputed_per_kill": ours["items_recomputed_per_kill"],
        "lease_seconds": LEASE_SECONDS,
        "server_crash": crash,
        "seed": seed,
        "systems": rows,
        "missing": missing,
        "versions": {peer.name: peer.version for peer in PEERS if peer.absence is None},
    }


def _table(figures: Figures) -> str:
    head = f"{'':22}{'lost':>7}{'twice':>7}{'ran twice':>11}{'p99 back':>10}{'never back':>12}{'redone/kill':>13}"
    lines = [head]
    for row in figures["systems"]:
        back, redone = row["recovery_p99_seconds"], row["items_recomputed_per_kill"]
        lines.append(
            f"{row['name']:22}{row['lost']:>7}{row['effects_twice']:>7}{row['bodies_twice']:>11}"
            f"{'–' if back is None else f'{back:.1f} s':>10}{row['never_resumed']:>12}"
            f"{'–' if redone is None else f'{redone:.1f}':>13}{'  stalled' if row['stalled'] else ''}"
        )
    return "\n".join([*lines, *(f"{name:22}not measured: {reason}" for name, reason in figures["missing"].items())])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and end with one line of JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.recovery", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs for each system")
    parser.add_argument("--items", type=int, help="items of each system; enough to outlast the kills if not given")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the victims")
    parser.add_argument(
        "--systems", help=f"only these beside restyle, separated by semicolons: {'; '.join(ONE_AT_A_TIME)}"
    )
    parser.add_argument("--no-crash", action="store_true", help="kill workers only, no server")
    given = parser.parse_args(arguments)
    items = given.items or given.kills * ITEMS_PER_KILL
    names = list(ONE_AT_A_TIME) if given.systems is None else [each for each in given.systems.split(";") if each]
    figures = run(given.kills, items, given.seed, names, crash=not given.no_crash)
    print(_table(figures))
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
