"""Measures the queue against others: `python -m benchmarks.queue [--quick] [--items N] [--repeats N]`.

All in one run on one machine: this system and each peer in turn, and again for each repeat; medians count. Every item
is a no-op everywhere. Servers are started for the run: Postgres with production durability, Valkey without a disk.
Progress goes to stderr; the last line of stdout is one JSON object. `docs/benchmarks.md` says what each figure means.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measure_ours, measure_peers
from benchmarks.measure_peers import Drained, PeerFailed
from benchmarks.peers import PEERS, Peer
from benchmarks.stack import DurablePostgres, session
from jobs.cores import cores
from tests.servers import server_folder

Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much is measured."""

    items: int
    sqlite_items: int  # 0: nothing on SQLite
    peer_items: int
    repeats: int
    pickups: int
    idle_looks: int  # of a hundred, the 99th percentile would be the second longest
    every_setting: bool  # all ways to run a peer's workers, not the first one alone


FULL = Amounts(
    items=1_000_000,
    sqlite_items=1_000_000,
    peer_items=20_000,
    repeats=3,
    pickups=30,
    idle_looks=500,
    every_setting=True,
)
QUICK = Amounts(items=60_000, sqlite_items=0, peer_items=500, repeats=1, pickups=5, idle_looks=100, every_setting=False)


def run(amounts: Amounts, peers: Sequence[Peer]) -> Figures:
    """Measure everything; return the figures by name."""
    ours: list[measure_ours.Ours] = []
    sqlite: list[measure_ours.OursOnSqlite] = []
    theirs: dict[str, list[Drained]] = defaultdict(list)
    reasons = {peer.name: peer.absence for peer in PEERS if peer.absence}
    reasons |= {peer.name: "not asked for" for peer in PEERS if peer not in peers}
    with server_folder() as folder, DurablePostgres(folder) as postgres:
        work = folder / "work"
        work.mkdir()
        for number in range(amounts.repeats):
            _say(f"run {number + 1} of {amounts.repeats}: restyle, {amounts.items} items")
            ours.append(
                measure_ours.measure(amounts.items, amounts.pickups, amounts.idle_looks, folder, work, postgres)
            )
            if amounts.sqlite_items:
                _say(f"run {number + 1} of {amounts.repeats}: restyle on SQLite, {amounts.sqlite_items} items")
                sqlite.append(measure_ours.measure_on_sqlite(amounts.sqlite_items, folder, work))
            for peer in peers:
                if peer.name not in reasons:
                    _measure_peer(peer, amounts, folder, postgres, theirs, reasons)
        with session(postgres.url("postgres")) as connection:
            server = str(connection.execute("SHOW server_version").fetchone()[0])  # type: ignore[index]
    figures = compare(ours, theirs)
    figures["sqlite"] = _medians(sqlite) if sqlite else None
    return figures | _conditions(amounts, server, theirs, reasons)


def _measure_peer(
    peer: Peer,
    amounts: Amounts,
    folder: Path,
    postgres: DurablePostgres,
    theirs: dict[str, list[Drained]],
    reasons: dict[str, str],
) -> None:
    """Measure a peer once; of several ways to run its workers the fastest counts."""
    settings = list(peer.workers)[: None if amounts.every_setting else 1]
    runs = []
    for workers in settings:
        _say(f"{peer.name} {peer.version}: {workers}, {amounts.peer_items} items")
        try:
            runs.append(measure_peers.measure(peer, workers, amounts.peer_items, folder, postgres))
        except (PeerFailed, OSError) as error:
            _say(f"  {error}")
            reasons[peer.name] = str(error)
    if runs:
        reasons.pop(peer.name, None)
        theirs[peer.name].append(max(runs, key=lambda run: run.drained_per_second))


def compare(ours: Sequence[measure_ours.Ours], theirs: dict[str, list[Drained]]) -> Figures:
    """Return the figures that are named in docs/benchmarks.md: medians over the runs, and beside peers their ratios.

    What we compare with ourselves is compared within each run: a machine changes between runs.
    """

    def own(name: str) -> float:
        return float(statistics.median(getattr(each, name) for each in ours))

    def peer(who: str, name: str) -> float | None:
        values = [getattr(each, name) for each in theirs.get(who, [])]
        return statistics.median(values) if values else None

    def ratio(above: float, below: float | None) -> float | None:
        return above / below if below else None

    def within(above: str, below: str) -> float:
        return float(statistics.median(getattr(each, above) / getattr(each, below) for each in ours))

    figures: Figures = {
        "enqueue_vs_copy": within("enqueued_per_second", "copied_per_second"),
        "enqueue_vs_celery": ratio(own("enqueued_per_second"), peer("celery", "enqueued_per_second")),
    }
    for each in PEERS:
        figures[f"drain_vs_{each.name}"] = ratio(own("drained_per_second"), peer(each.name, "drained_per_second"))
    figures |= {
        "status_p99_ms": own("status_p99_ms"),
        "status_p99_vs_idle": within("status_p99_ms", "status_idle_p99_ms"),
        "wal_bytes_vs_procrastinate": ratio(own("wal_bytes_per_item"), peer("procrastinate", "wal_bytes_per_item")),
        "dead_tuples_per_item": own("dead_tuples_per_item"),
        "pickup_p95_ms": own("pickup_p95_ms"),
        "pickup_p95_ms_no_broker": own("pickup_p95_ms_no_broker"),
    }
    figures["ours"] = _medians(ours)
    figures["ours_runs"] = [dataclasses.asdict(each) for each in ours]
    figures["peers"] = {who: [dataclasses.asdict(each) for each in runs] for who, runs in theirs.items()}
    return figures


def _medians(runs: Sequence[measure_ours.Ours] | Sequence[measure_ours.OursOnSqlite]) -> Figures:
    names = [field.name for field in dataclasses.fields(runs[0])]
    return {name: float(statistics.median(getattr(each, name) for each in runs)) for name in names}


def _conditions(amounts: Amounts, server: str, theirs: dict[str, list[Drained]], reasons: dict[str, str]) -> Figures:
    return {
        "missing": reasons,
        "versions": {peer.name: peer.version for peer in PEERS if peer.name in theirs}
        | {"postgres": server, "python": platform.python_version()},
        "cores": cores(),
        "amounts": dataclasses.asdict(amounts),
    }


def _table(figures: Figures) -> str:
    lines = [f"{'':24}{'enqueued/s':>12}{'drained/s':>12}{'WAL B/item':>12}  workers"]

    def line(name: str, values: Callable[[str], Any], workers: str) -> str:
        cells = [values(key) for key in ("enqueued_per_second", "drained_per_second", "wal_bytes_per_item")]
        shown = "".join(f"{'–' if cell is None else f'{cell:,.0f}':>12}" for cell in cells)
        return f"{name:24}{shown}  {workers}"

    lines.append(line("restyle", figures["ours"].get, f"{measure_ours.WORKERS} processes"))
    if figures["sqlite"] is not None:
        lines.append(line("restyle on SQLite", figures["sqlite"].get, f"{measure_ours.WORKERS} processes"))
    for name, runs in figures["peers"].items():
        middle = sorted(runs, key=lambda run: run["drained_per_second"])[len(runs) // 2]
        lines.append(line(f"{name} {figures['versions'][name]}", middle.get, middle["workers"]))
    lines += [f"{name:24}not measured: {reason}" for name, reason in figures["missing"].items()]
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and end with one line of JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.queue", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small amounts, once, Postgres alone: under 50 s")
    parser.add_argument("--items", type=int, help="items of our own job")
    parser.add_argument("--sqlite-items", type=int, help="items of our own job on SQLite; 0 for none")
    parser.add_argument("--peer-items", type=int, help="items of each peer")
    parser.add_argument("--repeats", type=int, help="runs, of which the median counts")
    parser.add_argument("--peers", help="only these, separated by commas; empty for none")
    given = parser.parse_args(arguments)
    amounts = QUICK if given.quick else FULL
    chosen = {
        name: value
        for name in ("items", "sqlite_items", "peer_items", "repeats")
        if (value := getattr(given, name)) is not None
    }
    names = None if given.peers is None else set(given.peers.split(","))
    peers = [peer for peer in PEERS if names is None or peer.name in names]
    figures = run(dataclasses.replace(amounts, **chosen), peers)
    print(_table(figures))
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
