"""The benchmark of the stream, with tiny amounts and without real peers: its figures are there and agree."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import stream, stream_pictures
from benchmarks.measure_stream import Batches, measure_peer
from benchmarks.stream_peers import STREAM_PEERS, StreamPeer
from benchmarks.stream_pictures import drawn
from benchmarks.stream_place import PEERS, Place, Sample, Streamed, StreamFailed
from tests.servers import server_folder

pytestmark = pytest.mark.system

COUNT = 20  # more than two batches
FIGURES = {
    "r_slow",
    "r_fast",
    "cpu_bound_share",
    "cpu_bound_share_alone",
    "stage_share",
    "limit_stage",
    "slowest_stage",
    "slowest_stage_share",
    "peak_mb",
    "idle_mb",
    "budget_mb",
    "workers",
    "padding_waste",
    "batch_pictures",
    *(f"vs_{peer.name}{ending}" for peer in STREAM_PEERS for ending in ("", "_fast")),
}


def test_the_streams_last_line_has_every_figure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = stream.Amounts(
        pictures=24, peer_pictures=1, large_pictures=17, repeats=1, devices=(stream.SLOW,), engines=False, fleet=True
    )
    monkeypatch.setattr(stream, "QUICK", tiny)
    monkeypatch.setattr(stream_pictures, "LARGE", (1500, 1000))
    assert stream.main(["--quick", "--peers", ""]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures.keys() > FIGURES
    [run] = figures["runs"]
    assert figures["r_slow"] == run["ours"]["slow"]["per_second"] / run["alone"]["slow"]["per_second"]
    assert figures["r_slow"] > 0  # of so few pictures it says no more: their start weighs more than the rest
    assert run["alone"]["slow"]["per_second"] <= 50
    assert 0 < figures["padding_waste"] < 0.5
    assert figures["peak_mb"] > figures["idle_mb"] > 50
    assert figures["vs_spdl"] is None
    assert figures["missing"].keys() == {peer.name for peer in STREAM_PEERS}, "nothing is missing without a reason"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with server_folder() as folder, Place(folder, cuda=False) as place:
        place.put(PEERS, drawn(COUNT))
        yield place


@dataclass(frozen=True, kw_only=True)
class Program(StreamPeer):
    """A peer that is a few lines."""

    name: str = "program"
    distribution: str = "none"
    module: str = "sys"
    text: str

    def command(self) -> list[str]:
        return [sys.executable, "-c", f"from benchmarks.stream_peers.photos import *\n{self.text}"]


def run(text: str, place: Place) -> Streamed:
    return measure_peer(Program(text=text), place, COUNT, source=PEERS, milliseconds=1)


def test_a_peer_that_keeps_every_picture_has_a_rate(place: Place) -> None:
    streamed = run("for key in catalogue(): save(key, *model([load(key)]))", place)
    assert 0 < streamed.per_second < 1000


def test_a_peer_that_passes_a_picture_over_is_noticed(place: Place) -> None:
    with pytest.raises(StreamFailed, match="1 of 20 pictures lost: ended with status 0"):
        run("for key in catalogue()[1:]: save(key, load(key))", place)


def test_a_peer_that_says_more_than_it_wrote_is_noticed(place: Place) -> None:
    with pytest.raises(StreamFailed, match="20 pictures lost, product-00000 among them"):
        run("for number in range(20): witness.say('E', number)", place)


def test_a_peer_that_falls_over_says_why(place: Place) -> None:
    with pytest.raises(StreamFailed, match=r"20 of 20 pictures lost: ended with status 1: .*ZeroDivisionError"):
        run("1 / 0", place)


def test_what_starts_a_stream_does_not_count_and_the_time_that_empties_it_does() -> None:
    at_once, then = [10.0] * 16, [11.0, 12.0, 13.0, 18.0]
    samples = [
        Sample(at=10.0, effects=16, cpu_seconds=100.0),
        Sample(at=12.0, effects=18, cpu_seconds=101.0),
        Sample(at=18.0, effects=20, cpu_seconds=104.0),
    ]
    streamed = Streamed.of([*then, *at_once], samples)
    assert streamed.per_second == 4 / 8
    assert streamed.cores_used == 4 / 8
    assert streamed.cpu_ms == 1000


def alone(**per_second: float) -> dict[str, dict[str, float]]:
    stages = {"read": 400.0, "decode": 200.0, "model": 1000.0, "measure": 500.0, "encode": 100.0, "write": 300.0}
    stages["batch"] = 900.0
    return {name: {"per_second": rate, "cpu_ms": 2.5} for name, rate in (stages | per_second).items()}


def test_the_limit_is_the_slowest_stage_unless_all_together_need_more_processor() -> None:
    assert stream.limit(alone(), core_count=4) == ("encode", 100.0)
    assert stream.limit(alone(read=90.0), core_count=4) == ("read", 90.0)
    assert stream.limit(alone(), core_count=1) == ("processor", pytest.approx(1000 / 17.5))


def streamed(per_second: float) -> Streamed:
    return Streamed(per_second=per_second, cores_used=1.5, cpu_ms=30.0)


def test_ratios_are_of_one_run_and_medians_of_several() -> None:
    models = {"slow": 50.0, "fast": 500.0, "reference-grade": 20.0}
    run = stream.Run(alone=alone(**models), batches=Batches(pictures=7.5, padding_waste=0.1))
    run.ours = {name: streamed(40.0) for name in ("slow", "fast", "unchanged", "graded")}
    run.peers["slow"]["loop"] = streamed(10.0)
    figures = stream.compare(run, core_count=2)
    assert (figures["r_slow"], figures["vs_loop"], figures["vs_loop_fast"]) == (0.8, 4.0, None)
    assert figures["cpu_bound_share"] == 0.75
    assert figures["cpu_bound_share_alone"] == pytest.approx(40.0 * 7 * 0.0025 / 2)
    assert (figures["limit_stage"], figures["stage_share"]) == ("encode", 0.4)
    other = figures | {"r_slow": 0.9, "vs_loop": None}
    assert stream.medians([figures, other, other])["r_slow"] == 0.9
    assert stream.medians([figures, other])["vs_loop"] == 4.0


def test_a_peer_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert {peer.absence is None for peer in STREAM_PEERS} == {False}


def test_pictures_of_a_folder_repeat_when_there_are_too_few(tmp_path: Path) -> None:
    for number, file in enumerate(drawn(3)):
        (tmp_path / f"{number}.{file.format}").write_bytes(file.data)
    files = stream.of_folder(tmp_path, 7)
    assert [file.data for file in files[:3]] == [file.data for file in drawn(3)]
    assert [file.data for file in files[3:6]] == [file.data for file in files[:3]]
