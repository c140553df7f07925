"""The benchmarks of the queue, with tiny amounts and without peers: their figures are there and agree."""

import json
from pathlib import Path

import pytest

from benchmarks import queue, recovery
from benchmarks.measure_ours import Ours
from benchmarks.measure_peers import Drained
from benchmarks.peers import PEERS
from benchmarks.witnessed import Kill, Line, effects, read, recoveries, starts

pytestmark = pytest.mark.system

RATIOS = {
    "enqueue_vs_copy",
    "enqueue_vs_celery",
    "drain_vs_celery",
    "drain_vs_procrastinate",
    "drain_vs_pgqueuer",
    "drain_vs_dramatiq",
    "drain_vs_rq",
    "drain_vs_huey",
    "drain_vs_awa",
    "status_p99_ms",
    "status_p99_vs_idle",
    "wal_bytes_vs_procrastinate",
    "dead_tuples_per_item",
    "pickup_p95_ms",
    "pickup_p95_ms_no_broker",
}


def test_the_queues_last_line_has_every_figure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        queue,
        "QUICK",
        queue.Amounts(
            items=2000, sqlite_items=500, peer_items=1, repeats=1, pickups=1, idle_looks=2, every_setting=False
        ),
    )
    assert queue.main(["--quick", "--peers", ""]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures.keys() > RATIOS
    assert figures["enqueue_vs_copy"] == figures["ours"]["enqueued_per_second"] / figures["ours"]["copied_per_second"]
    assert figures["status_p99_ms"] > 0
    assert figures["ours"]["wal_bytes_per_item"] > 100
    assert figures["pickup_p95_ms"] > 0
    assert figures["sqlite"]["drained_per_second"] > 0
    assert figures["sqlite"]["told_locked"] == 0
    assert figures["drain_vs_celery"] is None
    assert figures["missing"].keys() == {peer.name for peer in PEERS}, "nothing is missing without a reason"


def ours(**figures: float) -> Ours:
    rest = dict.fromkeys(Ours.__dataclass_fields__, 1.0)
    return Ours(**(rest | figures))  # type: ignore[arg-type]


def test_ratios_to_peers_are_of_medians_and_to_ourselves_within_each_run() -> None:
    runs = [
        ours(drained_per_second=rate, wal_bytes_per_item=500, enqueued_per_second=rate, copied_per_second=copied)
        for rate, copied in ((100, 1000), (900, 1000), (300, 600))
    ]
    celery = [Drained(enqueued_per_second=10, drained_per_second=rate, workers="") for rate in (30, 2, 50)]
    slow = Drained(enqueued_per_second=10, drained_per_second=1, workers="", wal_bytes_per_item=2000)
    figures = queue.compare(runs, {"celery": celery, "procrastinate": [slow]})
    assert figures["drain_vs_celery"] == 10
    assert figures["wal_bytes_vs_procrastinate"] == 0.25
    assert figures["enqueue_vs_copy"] == 0.5
    assert figures["drain_vs_rq"] is None


def test_a_killed_worker_costs_this_system_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PAUSE_SECONDS", 0.5)  # so few items are done sooner than in the usual pause
    assert recovery.main(["--kills", "1", "--items", "150", "--systems", "", "--no-crash"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["lost"], figures["effects_twice"]) == (0, 0)
    [row] = figures["systems"]
    assert not row["stalled"]
    assert figures["items_recomputed_per_kill"] >= row["bodies_twice"] / max(1, row["kills"])


def test_the_witness_tells_what_was_cut_off_and_when_it_went_on(tmp_path: Path) -> None:
    path = tmp_path / "witness"
    path.write_text("S 1 10 1.0\nE 1 10 1.5\nS 2 10 2.0\nS 3 11 2.1\nE 3 11 2.4\nS 2 11 6.5\nE 2 11 6.6\nS 4 12 7.0\n")
    lines = read(path)
    assert lines[0] == Line(letter="S", item=1, group=10, at=1.0)
    assert starts(lines) == 5
    assert effects(lines) == {1: 1, 2: 1, 3: 1}
    assert recoveries(lines, [Kill(group=10, at=2.5)]) == [4.0]
    assert recoveries(lines, [Kill(group=12, at=8.0)]) == [None]
    assert recoveries(lines, [Kill(group=11, at=2.5)]) == []


def test_a_peer_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert {peer.absence is None for peer in PEERS} == {False}
