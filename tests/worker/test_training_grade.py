"""What `reference-grade` learns from: drawn photos, graded."""

import shutil
from pathlib import Path

import pytest
import torch

from jobs.cards import Card, CardShelf
from jobs.locations import Location
from jobs.storage import Storages
from tests.worker.drawn import draw_photos
from worker.networks.grade import GradeNetwork
from worker.training.grade import CARD, PHOTO_SIDE_PX, objective
from worker.training.grade_examples import draw_examples
from worker.training.grades import apply_grades, principal_grades, random_grades, random_hues
from worker.training.manifests import Described
from worker.training.photos import (
    NoPhotos,
    PhotoSet,
    find_photos,
    load_photos,
    random_outlines,
    random_views,
    random_whites,
)

SMALL = {"code": 16, "basis": 6, "lattice": 5, "width": 8}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "photos"
    draw_photos(folder, 60)
    return folder


@pytest.fixture(scope="session")
def photos(folder: Path) -> PhotoSet:
    return load([folder])


def load(folders: list[Path], *, side: int = PHOTO_SIDE_PX, at_least: int = 40) -> PhotoSet:
    places = [Location.parse(f"file://{folder}/") for folder in folders]
    described = [Described(photo=photo) for photo in find_photos(places, Storages())]
    return load_photos(described, Storages(), side=side, at_least=at_least)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# --- the objective -------------------------------------------------------------------------------------


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
    assert losses[-1] < losses[0] - 0.03


def test_the_card_that_ships_is_like_the_one_that_training_writes() -> None:
    shipped = CardShelf().get("reference-grade")
    written = Card.model_validate({**CARD, "name": "x", "version": "1", "architecture": "x", "licence": "x"})
    assert (written.parameters, written.limits) == (shipped.parameters, shipped.limits)


# --- photos --------------------------------------------------------------------------------------------


def test_the_digest_follows_the_photos_not_their_names(folder: Path, photos: PhotoSet, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(folder.iterdir(), reverse=True)):
        (tmp_path / str(number % 2)).mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / str(number % 2) / f"{number}.png")
    shutil.copy(path, tmp_path / "twice.png")
    elsewhere = load([tmp_path / "0", tmp_path / "1", tmp_path])
    assert elsewhere.digest == photos.digest
    assert torch.equal(elsewhere.pixels, photos.pixels)
    (tmp_path / "0" / "0.png").unlink()
    assert load([tmp_path / "0", tmp_path / "1"]).digest != photos.digest


def test_a_file_that_cannot_be_read_is_left_out(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "photos" / "notes.txt").write_text("no picture either")
    assert len(load([tmp_path / "photos"], side=32, at_least=60).pixels) == 60
    with pytest.raises(NoPhotos, match="found 60 photos"):
        load([tmp_path / "photos"], side=32, at_least=61)


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
    assert examples.content.shape == examples.reference.shape == (64, 3, 48, 48)
    assert examples.colours.shape == examples.plain.shape == examples.wanted.shape
    for part in (examples.content, examples.reference, examples.colours, examples.plain, examples.wanted):
        assert 0 <= part.min() <= part.max() <= 1
    # About one in ten contents is ungraded, and one in ten answers.
    for part in (examples.colours, examples.wanted):
        same = (part - examples.plain).abs().amax((1, 2)) < 1e-3
        assert 1 <= same.sum() <= 24


def test_some_examples_have_the_references_of_all_that_share_their_grade(photos: PhotoSet) -> None:
    shares = draw_examples(photos.pixels, 66, generator()).shares  # the last group has two
    torch.testing.assert_close(shares.sum(1), torch.ones(66))
    alone = shares.diagonal() == 1
    assert 20 <= alone.sum() <= 46
    assert {tuple(row.nonzero().flatten().tolist()) for row in shares[~alone]} <= {
        *(tuple(range(first, first + 4)) for first in range(0, 64, 4)),
        (64, 65),
    }


def test_those_that_share_their_grade_are_graded_alike() -> None:
    # Of photos of one colour, a batch shows what each reference's grade does to it.
    grey = torch.full((2, 3, 64, 64), 128, dtype=torch.uint8)
    examples = draw_examples(grey, 64, generator())
    wanted, plain = examples.wanted.mean(1), examples.plain
    untouched = (plain - 128 / 255).abs().amax((1, 2)) < 1e-3  # none of it is white
    groups = [wanted[first : first + 4][untouched[first : first + 4]] for first in range(0, 64, 4)]
    assert max(float((each - each[:1]).abs().max()) for each in groups if len(each)) < 1e-3
    assert torch.stack([each[0] for each in groups if len(each)]).std(0).min() > 0.02


def test_examples_can_be_drawn_one_by_one(photos: PhotoSet) -> None:
    random = generator()
    for _ in range(8):  # most of these have a photo that is neither laid over another nor recoloured
        assert draw_examples(photos.pixels, 1, random).shares.tolist() == [[1]]


def test_a_view_shows_most_of_a_photo_and_other_hues_leave_grey_grey(photos: PhotoSet) -> None:
    ramp = torch.linspace(0, 255, 64).to(torch.uint8).expand(200, 3, 64, 64)
    views = random_views(ramp, 48, generator())
    ends = views[:, 0, 0][:, [0, -1]]
    assert ((ends[:, 1] - ends[:, 0]).abs() > 0.66).all()
    assert 0.3 < (ends[:, 0] > ends[:, 1]).float().mean() < 0.7, "half of them are mirrored"
    colours = photos.pixels[:4].flatten(2).transpose(1, 2) / 255
    grey = colours.mean(2, keepdim=True).expand_as(colours).clamp(min=1e-3)
    hues = random_hues(4, generator=generator())
    torch.testing.assert_close(apply_grades(grey, hues), grey)
    assert (apply_grades(colours, hues) - colours).abs().mean() > 0.05


def test_the_photos_own_look_is_the_answer_where_that_is_wanted(photos: PhotoSet) -> None:
    examples = draw_examples(photos.pixels, 16, generator(), wanted_strength=0.0)
    torch.testing.assert_close(examples.wanted, examples.plain.clamp(min=1e-4), atol=1e-3, rtol=0)
    assert (examples.colours - examples.plain).abs().mean() > 0.02


def test_whites_stay_white_under_a_grade_where_the_network_is_told_so_and_take_it_elsewhere(photos: PhotoSet) -> None:
    examples = draw_examples(photos.pixels, 160, generator())
    on_white = (examples.plain == 1).all(2).float().mean(1) > 0.2
    assert on_white.sum() >= 10
    told = examples.white_stays[on_white, 0] == 1
    pairs = list(zip(examples.plain[on_white], examples.wanted[on_white], strict=True))
    # A photo has whites of its own, which take its grade.
    kept = torch.tensor([(wanted[(plain == 1).all(1)] == 1).all(1).float().mean() > 0.5 for plain, wanted in pairs])
    assert kept[told].float().mean() > 0.8
    assert kept[~told].float().mean() < 0.6  # where the grade happens to leave white alone
    assert 0.2 < told.float().mean() < 0.8


def test_outlines_leave_a_background_and_whites_are_white() -> None:
    outlines, whites = random_outlines(64, 96, generator()), random_whites(64, 96, generator())
    assert 0.1 < outlines.mean() < 0.8
    assert outlines[:, :, 0, 0].median() < 0.05  # corners are background
    assert whites.min() > 0.7
    assert (whites == 1).flatten(1).all(1).float().mean() > 0.3
