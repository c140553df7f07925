"""Training from drawn photos, small enough to take seconds."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jobs.cards import Card, CardShelf
from tests.worker.drawn import draw_photos
from worker.checkpoints import load_pipeline
from worker.networks.grade import GradeNetwork
from worker.training.grade import PHOTO_SIDE_PX, Options, main, objective, parse, train, write_model
from worker.training.grade_examples import draw_examples
from worker.training.grades import apply_grades, principal_grades, random_grades
from worker.training.photos import NoPhotos, PhotoSet, load_photos, random_outlines, random_whites

SMALL = {"code": 16, "basis": 6, "lattice": 5, "width": 8}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "photos"
    draw_photos(folder, 60)
    return folder


@pytest.fixture(scope="session")
def photos(folder: Path) -> PhotoSet:
    return load_photos([folder], side=PHOTO_SIDE_PX, at_least=40)


def options(folder: Path, out: Path, *more: str) -> Options:
    given = ["--photos", str(folder), "--out", str(out), "--batch", "4", "--licence", "CC0-1.0", *more]
    return replace(parse(given), config=SMALL)


@pytest.fixture(scope="session")
def run(photos: PhotoSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a run of two iterations left behind."""
    out = tmp_path_factory.mktemp("runs") / "reference-grade"
    given = options(out, out, "--iterations", "2", "--seed", "7")
    write_model(out, train(photos, given), photos, given)
    return out


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# --- the command ---------------------------------------------------------------------------------------


def test_a_run_leaves_a_model_that_loads(run: Path, photos: PhotoSet) -> None:
    assert load_pipeline(CardShelf(run.parent), "reference-grade", torch.device("cpu"))
    card = Card.model_validate(json.loads((run / "model.json").read_text(encoding="utf-8")))
    assert card.training is not None
    assert card.training["seed"] == 7
    assert card.training["iterations"] == 2
    assert card.training["photos"] == {"count": 60, "sha256": photos.digest, "licence": "CC0-1.0"}
    assert "--photos DIR --licence CC0-1.0 --iterations 2 --seed 7" in card.training["command"]
    assert str(run.parent) not in json.dumps(card.training)  # cards name no machine
    assert card.metrics["held_out_unchanged_psnr_db"] > 0


def test_the_card_that_ships_is_like_the_one_that_training_writes(run: Path) -> None:
    written = json.loads((run / "model.json").read_text(encoding="utf-8"))
    shipped = CardShelf().get("reference-grade")
    assert Card.model_validate(written).parameters == shipped.parameters
    assert shipped.training is not None
    assert set(written["training"]) == set(shipped.training)
    assert set(written["metrics"]) <= set(shipped.metrics)


def test_photos_seed_and_iterations_decide_the_weights(run: Path, photos: PhotoSet, tmp_path: Path) -> None:
    for seed, same in (("7", True), ("8", False)):
        given = options(tmp_path, tmp_path / seed, "--iterations", "2", "--seed", seed)
        write_model(given.out, train(photos, given), photos, given)
        again = (given.out / "weights.safetensors").read_bytes()
        assert (again == (run / "weights.safetensors").read_bytes()) is same


def test_the_objective_falls_when_it_is_followed(photos: PhotoSet) -> None:
    torch.manual_seed(0)
    network = GradeNetwork(**SMALL)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    examples = draw_examples(photos.pixels, 8, generator())
    losses = []
    for _ in range(40):
        losses.append(objective(network, examples))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.7 * losses[0]


def test_minutes_end_a_run(photos: PhotoSet, tmp_path: Path) -> None:
    trained = train(photos, options(tmp_path, tmp_path, "--minutes", "0.001"))
    assert trained.iterations >= 1
    assert trained.seconds < 20


@pytest.mark.parametrize(
    "bad",
    [
        [],
        ["--minutes", "1", "--iterations", "5"],
        ["--minutes", "0"],
        ["--minutes", "nan"],
        ["--iterations", "-3"],
        ["--iterations", "2.5"],
        ["--iterations", "5", "--batch", "0"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(bad: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse(["--photos", "x", "--out", "y", *bad])
    assert raised.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_too_few_photos_are_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    command = ["--out", str(tmp_path / "out"), "--iterations", "1", "--photos"]
    assert main([*command, str(empty)]) == 2
    assert "found 0 photos" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "nowhere")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- photos --------------------------------------------------------------------------------------------


def test_the_digest_follows_the_photos_not_their_names(folder: Path, photos: PhotoSet, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(folder.iterdir(), reverse=True)):
        (tmp_path / str(number % 2)).mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / str(number % 2) / f"{number}.png")
    shutil.copy(path, tmp_path / "twice.png")
    elsewhere = load_photos([tmp_path / "0", tmp_path / "1", tmp_path], side=PHOTO_SIDE_PX, at_least=40)
    assert elsewhere.digest == photos.digest
    assert torch.equal(elsewhere.pixels, photos.pixels)
    (tmp_path / "0" / "0.png").unlink()
    assert load_photos([tmp_path / "0", tmp_path / "1"], side=PHOTO_SIDE_PX, at_least=40).digest != photos.digest


def test_a_file_that_cannot_be_read_is_left_out(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "photos" / "notes.txt").write_text("no picture either")
    assert len(load_photos([tmp_path / "photos"], side=32, at_least=60).pixels) == 60
    with pytest.raises(NoPhotos, match="found 60 photos"):
        load_photos([tmp_path / "photos"], side=32, at_least=61)


# --- grades and examples -------------------------------------------------------------------------------


def test_a_grade_of_no_strength_changes_nothing() -> None:
    colours = torch.rand(3, 50, 3, generator=generator()).clamp(min=1e-3)
    torch.testing.assert_close(apply_grades(colours, random_grades(3, strength=0.0, generator=generator())), colours)


def test_a_grade_is_a_function_of_the_colour_and_stays_in_range() -> None:
    colours = torch.rand(8, 50, 3, generator=generator())
    grades = random_grades(8, generator=generator())
    found = apply_grades(colours, grades)
    torch.testing.assert_close(apply_grades(colours.flip(1), grades), found.flip(1), atol=1e-6, rtol=0)
    assert 0 <= found.min() <= found.max() <= 1


def test_principal_grades_span_most_of_what_grades_do() -> None:
    basis = principal_grades(12, lattice=5, generator=generator()).flatten(1)
    basis = basis / basis.norm(dim=1, keepdim=True)
    torch.testing.assert_close(basis @ basis.T, torch.eye(12), atol=1e-4, rtol=0)
    colours = torch.stack(torch.meshgrid(*[torch.linspace(0, 1, 5)] * 3, indexing="ij")[::-1]).flatten(1).T
    points = colours.expand(64, -1, -1)
    change = (apply_grades(points, random_grades(64, generator=generator())) - points).transpose(1, 2).flatten(1)
    left = change - change @ basis.T @ basis
    assert left.square().sum() < 0.1 * change.square().sum()


def test_the_answer_is_the_reference_grade_on_the_same_pixels(photos: PhotoSet) -> None:
    examples = draw_examples(photos.pixels, 64, generator())
    assert examples.content.shape == examples.reference.shape == (64, 3, 96, 96)
    assert examples.colours.shape == examples.plain.shape == examples.wanted.shape
    for part in (examples.content, examples.reference, examples.colours, examples.plain, examples.wanted):
        assert 0 <= part.min() <= part.max() <= 1
    # About one in ten contents is ungraded, and one in ten answers.
    for part in (examples.colours, examples.wanted):
        same = (part - examples.plain).abs().amax((1, 2)) < 1e-3
        assert 1 <= same.sum() <= 24


def test_some_whites_stay_white_under_a_grade_and_some_take_it(photos: PhotoSet) -> None:
    examples = draw_examples(photos.pixels, 160, generator())
    on_white = (examples.plain == 1).all(2).float().mean(1) > 0.2
    assert on_white.sum() >= 10
    answers = [w[(p == 1).all(1)] for p, w in zip(examples.plain[on_white], examples.wanted[on_white], strict=True)]
    kept = sum(bool((answer == 1).all()) for answer in answers)
    assert 0.1 < kept / len(answers) < 0.9


def test_outlines_leave_a_background_and_whites_are_white() -> None:
    outlines, whites = random_outlines(64, 96, generator()), random_whites(64, 96, generator())
    assert 0.1 < outlines.mean() < 0.8
    assert outlines[:, :, 0, 0].median() < 0.05  # corners are background
    assert whites.min() > 0.7
    assert (whites == 1).flatten(1).all(1).float().mean() > 0.3
