"""Training runs, whatever they learn: a tiny network, drawn photos, a few dozen iterations."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboardX.proto.event_pb2 import Event

from jobs import trainings
from jobs.cards import Card, CardShelf
from jobs.errors import Conflict, InvalidRequest
from jobs.trainings import Training
from tests.places import Place
from tests.worker.drawn import draw_photos
from worker.checkpoints import load_pipeline
from worker.training.__main__ import main
from worker.training.config import RunConfig, parse_config, read_config
from worker.training.grade import GradeObjective
from worker.training.loop import Watcher
from worker.training.objectives import OBJECTIVES, SEEN, TAUGHT
from worker.training.runs import run

ROOT = Path(__file__).parents[2]
SMALL = {"code": 16, "basis": 6, "lattice": 5, "width": 8}
ITERATIONS = 30
WAIT_SECONDS = 180.0  # for a process on a machine that does much else


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Runs set the number of threads for their whole process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def small_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure on fewer examples than usual: what is trained does not depend on it."""
    monkeypatch.setattr(GradeObjective, "probe_examples", 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "photos"
    draw_photos(folder, 24)
    return folder


def config(folder: Path, **more: Any) -> RunConfig:
    given = {
        "name": "small",
        "licence": "CC0-1.0",
        "photos": [f"file://{folder}/"],
        "network": SMALL,
        "iterations": ITERATIONS,
        "batch": 4,
        "seed": 7,
        "warm_up": 5,
        "measure_every": 10,
        "checkpoint_every": 4,
        "sample_every": 10,
        "held_out_every": 6,
        "threads": 1,
        "device": "cpu",
    }
    return parse_config({name: value for name, value in (given | more).items() if value is not None})


def train(config: RunConfig, out: Path, *, until: int | None = None) -> Card | None:
    """Train, stopping before iteration `until`."""
    reached = 0

    def report(progress: Any, _figures: dict[str, float]) -> None:
        nonlocal reached
        reached = progress.iteration

    watcher = Watcher(stop=lambda: until is not None and reached >= until, report=report)
    return run(config, out, watcher=watcher, command="restyle train small.toml --out DIR")


@pytest.fixture(scope="module")
def straight(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "small"
    assert train(config(folder), out) is not None
    return out


def curve(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "curve.jsonl").read_text(encoding="utf-8").splitlines()]


# --- going on ------------------------------------------------------------------------------------------


def test_a_run_that_is_killed_over_and_over_ends_as_if_nothing_had_happened(
    folder: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the probe is that of the processes
    out, file = tmp_path / "killed", tmp_path / "small.json"
    file.write_text(json.dumps(config(folder).model_dump(mode="json")))
    assert ended_by(signal.SIGKILL, file, out, at=6) == -signal.SIGKILL
    assert ended_by(signal.SIGTERM, file, out, at=14) == 128 + signal.SIGTERM
    stopped_at = len(curve(out))
    assert 14 <= stopped_at < ITERATIONS  # every iteration before the signal is in the checkpoint
    assert train(config(folder), out) is not None
    assert (out / "curve.jsonl").read_bytes() == (straight / "curve.jsonl").read_bytes()
    assert (out / "weights.safetensors").read_bytes() == (straight / "weights.safetensors").read_bytes()


def ended_by(number: signal.Signals, file: Path, out: Path, *, at: int) -> int:
    """Run the command, send it a signal once its curve has so many lines, and return how it ended."""
    command = [sys.executable, "-m", "worker.training", "train", str(file), "--out", str(out)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    until = time.monotonic() + WAIT_SECONDS
    try:
        while process.poll() is None and len(curve_lines(out)) < at:
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(number)
        return process.wait(WAIT_SECONDS)
    finally:
        process.kill()


def curve_lines(out: Path) -> list[bytes]:
    path = out / "curve.jsonl"
    return path.read_bytes().splitlines() if path.exists() else []


def test_another_seed_takes_another_course(folder: Path, straight: Path, tmp_path: Path) -> None:
    train(config(folder, seed=8, iterations=3), tmp_path / "other")  # that the same seed takes the same is shown above
    assert curve(tmp_path / "other")[0]["loss"] != curve(straight)[0]["loss"]


def test_the_checkpoint_of_another_run_is_not_gone_on_with(folder: Path, tmp_path: Path) -> None:
    assert train(config(folder), tmp_path / "run", until=6) is None
    with pytest.raises(InvalidRequest, match=r"learning_rate was 0\.002 and is 0\.001"):
        train(config(folder, learning_rate=0.001), tmp_path / "run")
    draw_photos(tmp_path / "others", 12)
    with pytest.raises(InvalidRequest, match="photos_sha256 was"):
        train(config(tmp_path / "others"), tmp_path / "run")


def test_two_runs_cannot_share_a_folder(folder: Path, tmp_path: Path) -> None:
    refused: list[str] = []

    def second(*_: object) -> None:
        if not refused:
            with pytest.raises(Conflict) as raised:
                train(config(folder), tmp_path / "run")
            refused.append(raised.value.code)

    run(config(folder, iterations=2), tmp_path / "run", watcher=Watcher(report=second), command="")
    assert refused == ["run_in_progress"]


# --- what a run leaves behind --------------------------------------------------------------------------


def test_a_run_leaves_a_model_that_loads_and_a_card_that_says_where_it_comes_from(folder: Path, straight: Path) -> None:
    assert load_pipeline(CardShelf(straight.parent), "small", torch.device("cpu"))
    card = Card.model_validate_json((straight / "model.json").read_bytes())
    assert card.training is not None
    assert card.training["command"] == "restyle train small.toml --out DIR"
    assert card.training["settings"]["warm_up"] == 5
    assert card.training["seed"] == 7
    assert card.training["iterations"] == ITERATIONS
    assert card.training["photos"]["count"] == 24
    assert card.training["photos"]["licence"] == "CC0-1.0"
    assert card.config == SMALL
    assert card.metrics["held_out_psnr_db"] > 0
    assert str(folder.parent) not in (straight / "model.json").read_text(encoding="utf-8")  # cards name no machine


def test_the_curve_is_told_as_lines_as_a_picture_and_to_tensorboard(straight: Path) -> None:
    lines = curve(straight)
    assert [line["iteration"] for line in lines] == list(range(1, ITERATIONS + 1))
    assert "held_out_psnr_db" in lines[9]
    assert "held_out_psnr_db" not in lines[10]
    picture = ElementTree.fromstring((straight / "curve.svg").read_text(encoding="utf-8"))
    titles = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"loss", "held_out_psnr_db", f"iteration {ITERATIONS}"} <= titles
    told = {(value.tag, event.step): value.simple_value for event in events(straight) for value in event.summary.value}
    for line in lines:
        assert told["loss", line["iteration"]] == pytest.approx(line["loss"], rel=1e-6)
    assert told["held_out_psnr_db", 10] == pytest.approx(lines[9]["held_out_psnr_db"], rel=1e-6)


def events(out: Path) -> Iterator[Any]:
    """Read TensorBoard's records: length, its checksum, the event, its checksum."""
    [path] = (out / "tensorboard").iterdir()
    content, place = path.read_bytes(), 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        yield Event.FromString(content[place + 12 : place + 12 + length])
        place += 12 + length + 4


def test_sample_sheets_are_drawn_while_it_trains(straight: Path) -> None:
    sheets = sorted(path.name for path in (straight / "samples").iterdir())
    assert sheets == ["00000010.png", "00000020.png", "00000030.png"]
    with Image.open(straight / "samples" / sheets[0]) as sheet:
        assert sheet.size == (4 + 3 * 100, 16 + 8 * 100)
        assert len(sheet.getcolors(1 << 20) or []) > 100


# --- how a run can be told to train --------------------------------------------------------------------


def test_a_run_without_progress_ends_early_with_its_best_weights(folder: Path, tmp_path: Path) -> None:
    card = train(
        config(folder, learning_rate=1.0, ema=0.0, patience=2, measure_every=5, iterations=500), tmp_path / "run"
    )
    assert card is not None
    assert card.training is not None
    measured = [line["held_out_psnr_db"] for line in curve(tmp_path / "run") if "held_out_psnr_db" in line]
    assert card.training["iterations"] == 5 * len(measured) < 500
    assert measured[-3] == max(measured)  # then twice worse
    assert card.metrics["held_out_psnr_db"] == pytest.approx(max(measured), abs=1e-3)


def test_what_is_kept_is_the_moving_average_of_the_weights(folder: Path, tmp_path: Path) -> None:
    settings = config(folder, ema=0.9, checkpoint_every=1, measure_every=3, iterations=3)
    found = []
    for until in (2, None):
        train(settings, tmp_path / "run", until=until)
        found.append(load_file(tmp_path / "run" / "checkpoint.safetensors"))
    before, after = ({name: tensors[name] for name in tensors if name.startswith("average/")} for tensors in found)
    kept = load_file(tmp_path / "run" / "weights.safetensors")
    for name, average in before.items():
        now = found[1][name.replace("average/", "network/")]
        expected = average.lerp(now, 1 - 3 / 13)  # in a run's first iterations the average forgets faster
        assert torch.allclose(after[name], expected, atol=1e-6)
        assert torch.equal(kept[name.removeprefix("average/")], after[name])
    assert any(not torch.equal(each, found[1][name.replace("average/", "network/")]) for name, each in after.items())


def test_minutes_end_a_run(folder: Path, tmp_path: Path) -> None:
    card = train(config(folder, iterations=None, minutes=0.001), tmp_path / "run")
    assert card is not None
    assert card.training is not None
    assert card.training["iterations"] >= 1


def test_what_is_frozen_stays_and_the_rest_is_trained(folder: Path, straight: Path, tmp_path: Path) -> None:
    start = {"start_from": str(straight), "network": None}
    train(config(folder, freeze=["stem", "blocks", "to_code"], **start), tmp_path / "run")
    before, after = (load_file(out / "weights.safetensors") for out in (straight, tmp_path / "run"))
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"to_canonical", "to_grade", "basis"}
    card = Card.model_validate_json((tmp_path / "run" / "model.json").read_bytes())
    assert card.training is not None
    assert card.training["started_from"]["name"] == "small"
    with pytest.raises(InvalidRequest, match="freeze is 'head': give what names of parameters start with: basis, stem"):
        train(config(folder, freeze=["head"], **start), tmp_path / "other")


def test_a_share_of_the_weights_becomes_zero_and_the_file_smaller(folder: Path, straight: Path, tmp_path: Path) -> None:
    train(config(folder, sparsity=0.75, start_from=str(straight), network=None), tmp_path / "small")
    assert load_pipeline(CardShelf(tmp_path), "small", torch.device("cpu"))
    sizes = [(out / "weights.safetensors").stat().st_size for out in (straight, tmp_path / "small")]
    assert sizes[1] < 0.5 * sizes[0]
    stored = load_file(tmp_path / "small" / "weights.safetensors")
    assert len(stored["to_grade.0.weight:values"]) == 0.25 * 256 * (3 * SMALL["code"] + 1)


@pytest.mark.parametrize("more", [{"precision": "bfloat16"}, {"augment": True}])
def test_mixed_precision_and_augmentation_change_the_losses_but_not_that_they_repeat(
    folder: Path, straight: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    assert train(config(folder, iterations=8, **more), tmp_path / "run", until=5) is None
    train(config(folder, iterations=8, **more), tmp_path / "run")
    train(config(folder, iterations=8, **more), tmp_path / "again")
    assert curve(tmp_path / "run") == curve(tmp_path / "again")
    assert curve(tmp_path / "run")[0]["loss"] != curve(straight)[0]["loss"]
    assert curve(tmp_path / "run")[0]["loss"] == pytest.approx(curve(straight)[0]["loss"], abs=0.4)


def test_photos_may_lie_in_a_bucket(folder: Path, moto_place: Place, straight: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        moto_place.write(f"deep/{path.name}", path.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.training.runs.open_storages", lambda: moto_place.storages)
        train(config(folder, photos=[str(moto_place.location)]), tmp_path / "small")
    assert (tmp_path / "small" / "weights.safetensors").read_bytes() == (straight / "weights.safetensors").read_bytes()


# --- the config and the command ------------------------------------------------------------------------


def test_a_config_may_be_toml_and_its_places_are_taken_from_its_folder(folder: Path) -> None:
    file = folder.parent / "small.toml"
    file.write_text('name = "small"\nlicence = "CC0-1.0"\nphotos = ["photos"]\niterations = 3\n[network]\ncode = 16\n')
    assert read_config(file).photos == (f"file://{folder}/",)
    assert read_config(file).network == {"code": 16}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"iterations": -3}, "iterations is -3: it should be greater than or equal to 1"),
        ({"iterations": None}, "give either iterations or minutes"),
        ({"minutes": 2}, "give either iterations or minutes"),
        ({"licence": None}, "licence is None: give it"),
        ({"bach": 3}, "bach is 3: leave it out, or correct its spelling; there are objective, licence"),
        ({"attributes": ["kind"]}, "give attributes to the objectives"),
        ({"freeze": ["stem"]}, "freeze and sparsity need start_from"),
        ({"network": {"kode": 3}}, "network is {'kode': 3}: give sizes that it has"),
        (
            {"objective": "dream"},
            "objective is 'dream': it should be 'reference_grade', 'any_painting', 'attribute_reader', 'brand_look',",
        ),
        ({"start_from": "nobody", "network": None}, "give a folder with a model.json, or one of "),
        ({"start_from": "unchanged", "network": None}, "choose a model of the architecture reference_grade"),
        ({"photos": ["file:///nowhere/"]}, "found 0 photos"),
        ({"device": "cuda:99"}, "device is 'cuda:99': give cpu"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_field_value_and_remedy(
    folder: Path, tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        train(config(folder, **more), tmp_path / "run")
    assert said in str(raised.value)


def test_the_command_says_what_is_wrong_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("name = ")
    assert main(["train", str(file), "--out", str(tmp_path / "run")]) == 2
    assert "write TOML" in capsys.readouterr().err
    file.write_text('name = "x"\nlicence = "x"\nphotos = ["nowhere"]\niterations = 1\n')
    assert main(["train", str(file), "--out", str(tmp_path / "run")]) == 2
    assert "photos is 'nowhere': name a folder that is there" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_every_objective_that_can_be_asked_for_is_there() -> None:
    asked = get_args(Training.model_fields["objective"].annotation)
    assert {*OBJECTIVES, *SEEN, *TAUGHT} == set(asked)
    assert set(SEEN) == set(trainings.SEEN)
    assert set(TAUGHT) == set(trainings.TAUGHT)


# --- measuring, and making lighter ---------------------------------------------------------------------


def test_a_model_is_measured_beside_the_photo_as_it_is(
    folder: Path, straight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(straight), "--photos", str(folder), "--pairs", "3"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert {"model_psnr_db", "model_same_delta_e", "model_delta_e2000", "unchanged_psnr_db"} <= figures.keys()
    assert figures["model_pictures_per_second_512px"] > 0
    assert main(["evaluate", "nobody", "--photos", str(folder)]) == 2


@pytest.mark.parametrize(("verb", "share"), [("half", 0.52), ("quantise", 0.35)])
def test_a_lighter_model_is_smaller_and_its_card_has_the_original_beside_it(
    folder: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, share: float
) -> None:
    monkeypatch.setattr("worker.training.lightening.PAIRS", 3)
    arguments = [verb, str(straight), "--photos", str(folder), "--out", str(tmp_path / "lighter"), "--name", "lighter"]
    assert main(arguments) == 0
    card = CardShelf(tmp_path).get("lighter")
    assert card.metrics["lighter_weights_bytes"] < share * card.metrics["original_weights_bytes"]
    assert card.metrics["lighter_psnr_db"] == pytest.approx(card.metrics["original_psnr_db"], abs=0.5)
    assert card.training is not None
    assert card.training["made_from"]["name"] == "small"
    assert load_pipeline(CardShelf(tmp_path), "lighter", torch.device("cpu"))
    assert main(arguments) == 2  # it is there


def test_a_pruned_model_is_trained_on_and_measured_on_other_photos(
    folder: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("worker.training.lightening.PAIRS", 3)
    draw_photos(tmp_path / "photos", 40, side=24)
    given = ["--photos", str(tmp_path / "photos"), "--unseen", str(folder), "--out", str(tmp_path / "pruned")]
    assert main(["prune", str(straight), *given, "--name", "pruned", "--iterations", "2"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    metrics = json.loads(line)["metrics"]
    assert metrics["lighter_weights_bytes"] < 0.6 * metrics["original_weights_bytes"]
    assert CardShelf(tmp_path).get("pruned").metrics == metrics
