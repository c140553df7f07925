"""What learns to paint: tiny networks under a tiny teacher of chance, a few dozen iterations each."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from jobs.cards import Card, CardShelf
from jobs.errors import InvalidRequest
from jobs.locations import Location
from tests.worker.drawn import draw_photos
from worker import paint_slowly as command
from worker.checkpoints import load_pipeline
from worker.networks.painting import mean_and_deviation, with_statistics
from worker.networks.vgg import VggFeatures
from worker.pipelines.base import Batch
from worker.training import any_painting, painter, runs
from worker.training.config import RunConfig, parse_config
from worker.training.loop import Watcher
from worker.training.perception import apart, gram, sliced_apart
from worker.training.references import load_references
from worker.training.runs import run
from worker.training.slow_painting import paint_slowly

CPU = torch.device("cpu")
CROP_PX = 48


@pytest.fixture(scope="module")
def teacher() -> VggFeatures:
    torch.manual_seed(7)
    network = VggFeatures(narrower=16)
    for convolution in network.convolutions.values():
        torch.nn.init.kaiming_normal_(convolution.weight)  # so that deep layers still tell pictures apart
    return network.eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, teacher: VggFeatures) -> Iterator[None]:
    """Small pictures, and the tiny teacher in the place of the one that is installed or not."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(runs, "load_teacher", lambda device: teacher.to(device))
    for module, objective in ((painter, painter.PainterObjective), (any_painting, any_painting.AnyPaintingObjective)):
        monkeypatch.setattr(module, "CROP_PX", CROP_PX)
        monkeypatch.setattr(objective, "side_px", CROP_PX + 8)
        monkeypatch.setattr(objective, "probe_examples", 6)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("painting")
    draw_photos(folder / "photos", 12)
    draw_photos(folder / "paintings", 2, side=96)
    (folder / "paintings" / "000.png").rename(folder / "paintings" / "Blue Reeds_2.png")
    return {"photos": f"file://{folder}/photos/", "references": f"file://{folder}/paintings/"}


def config(places: dict[str, str], objective: str, **more: Any) -> RunConfig:
    given = {
        "name": "small",
        "objective": objective,
        "licence": "CC0-1.0",
        **{field: [place] for field, place in places.items()},
        "network": {"width": 4, "blocks": 1},
        "iterations": 60,
        "batch": 2,
        "warm_up": 3,
        "learning_rate": 0.02,
        "ema": 0.5,
        "sample_every": 60,
        "held_out_every": 6,
        "threads": 1,
        "device": "cpu",
    }
    return parse_config({name: value for name, value in (given | more).items() if value is not None})


@pytest.mark.parametrize("objective", ["painter", "any_painting"])
def test_a_run_learns_to_paint_and_leaves_a_model_and_a_card_that_names_its_paintings(
    objective: str, places: dict[str, str], tmp_path: Path
) -> None:
    card = run(config(places, objective), tmp_path / "small", watcher=Watcher(), command="restyle train")
    assert card is not None
    painted, unpainted = (card.metrics[f"held_out_style_distance{end}"] for end in ("", "_unchanged"))
    assert painted < 0.6 * unpainted
    assert card.metrics["held_out_content_distance"] < 1  # 1: nothing of what was to be shown is to be seen
    assert card.training is not None
    assert card.training["references"]["names"] == ["blue-reeds-2", "painting-001"]
    with Image.open(tmp_path / "small" / "samples" / "00000060.png") as sheet:
        assert sheet.width > 3 * CROP_PX
    pipeline = load_pipeline(CardShelf(tmp_path), "small", CPU)
    picture = torch.full((3, 40, 56), 200, dtype=torch.uint8)
    batch = Batch(images=picture[None], sizes=[(40, 56)])
    found = pipeline.run(batch, pipeline.encode_style([picture // 2]), card.complete({}))
    assert (found.float() - batch.images).abs().mean() > 1


def test_a_painter_is_told_by_name_what_to_paint_like_and_goes_on_with_as_many_others(
    places: dict[str, str], tmp_path: Path
) -> None:
    card = run(config(places, "painter", iterations=2), tmp_path / "first", watcher=Watcher(), command="")
    assert card is not None
    assert card.complete({})["painting"] == "blue-reeds-2"
    assert card.complete({"painting": "painting-001"})["painting"] == "painting-001"
    for wrong in ("reeds", 1, True):
        with pytest.raises(InvalidRequest, match="give one of blue-reeds-2, painting-001"):
            card.complete({"painting": wrong})
    assert Card.model_validate_json((tmp_path / "first" / "model.json").read_bytes()) == card

    draw_photos(tmp_path / "others", 3)
    others = {**places, "references": f"file://{tmp_path}/others/"}
    further = {"start_from": str(tmp_path / "first"), "network": None, "iterations": 2}
    with pytest.raises(InvalidRequest, match="as many style pictures as the model to start from has"):
        run(config(others, "painter", **further), tmp_path / "second", watcher=Watcher(), command="")
    (tmp_path / "others" / "002.png").unlink()
    of_own = config(others, "painter", **further, freeze=["down", "blocks", "up", "out"])
    card = run(of_own, tmp_path / "second", watcher=Watcher(), command="")
    assert card is not None
    assert card.config["paintings"] == ["painting-000", "painting-001"]
    before, after = (load_file(tmp_path / name / "weights.safetensors") for name in ("first", "second"))
    changed = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"normalise", "colours", "strokes", "tint"}


def test_a_run_does_not_go_on_with_other_style_pictures(places: dict[str, str], tmp_path: Path) -> None:
    stopped = Watcher(stop=iter([False, True]).__next__)
    assert run(config(places, "painter"), tmp_path / "run", watcher=stopped, command="") is None
    draw_photos(tmp_path / "others", 2, side=90)
    others = {**places, "references": f"file://{tmp_path}/others/"}
    with pytest.raises(InvalidRequest, match="references_sha256 was"):
        run(
            config(others, "painter", network={"width": 4, "blocks": 1}),
            tmp_path / "run",
            watcher=Watcher(),
            command="",
        )


def test_style_pictures_are_asked_for_where_they_are_needed_and_nowhere_else(
    places: dict[str, str], tmp_path: Path
) -> None:
    for objective, given in (("painter", None), ("reference_grade", [places["references"]])):
        with pytest.raises(InvalidRequest, match="give references to the objectives any_painting, painter"):
            config(places, objective, references=given, network={})
    draw_photos(tmp_path / "a", 1)
    (tmp_path / "a" / "b").mkdir()
    (tmp_path / "a" / "b" / "000.png").write_bytes((tmp_path / "a" / "000.png").read_bytes())
    for place, remedy in (
        ("file:///nowhere/at/all/", "at least one style picture"),
        (f"file://{tmp_path}/a/", "two pictures are called painting-000"),
    ):
        with pytest.raises(InvalidRequest, match=remedy):
            run(config({**places, "references": place}, "painter"), tmp_path / "run", watcher=Watcher(), command="")
    (tmp_path / "a" / "b" / "000.png").write_bytes(b"no picture")
    (tmp_path / "a" / "000.png").unlink()
    with pytest.raises(InvalidRequest, match="that can be opened"):
        run(
            config({**places, "references": f"file://{tmp_path}/a/"}, "painter"),
            tmp_path / "run",
            watcher=Watcher(),
            command="",
        )


def test_features_take_on_the_mean_and_the_deviation_of_others() -> None:
    generator = torch.Generator().manual_seed(1)
    features, other = (torch.randn(2, 5, 9, 7, generator=generator) * s + s for s in (1.0, 3.0))
    found = with_statistics(features, mean_and_deviation(other))
    torch.testing.assert_close(found.mean((2, 3)), other.mean((2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.std((2, 3)), other.std((2, 3)), rtol=1e-3, atol=1e-3)
    order = features[0, 0].flatten().argsort()
    assert torch.equal(found[0, 0].flatten().argsort(), order)  # what is where stays


def test_grams_know_what_goes_together_and_not_where() -> None:
    features = torch.randn(1, 6, 8, 8, generator=torch.Generator().manual_seed(2))
    elsewhere = features.flatten(2)[:, :, torch.randperm(64)].view_as(features)
    torch.testing.assert_close(gram(elsewhere), gram(features))
    assert apart(gram(features[:, :, :4]), gram(features)) > 0.01
    torch.testing.assert_close(apart(torch.zeros_like(features), features), torch.ones(1))


def test_distributions_are_far_apart_where_a_few_glaring_places_have_the_right_spread() -> None:
    generator = torch.Generator().manual_seed(5)
    wanted = torch.randn(1, 6, 400, generator=generator)
    alike, spots = torch.randn(1, 6, 400, generator=generator), torch.zeros(1, 6, 400)
    spots[:, :, :10] = torch.randn(1, 6, 10, generator=generator) * 40**0.5  # the same Gram matrix but for chance
    directions = F.normalize(torch.randn(6, 24, generator=generator), dim=0)
    elsewhere = wanted[:, :, torch.randperm(400, generator=generator)]
    torch.testing.assert_close(sliced_apart(elsewhere, wanted, directions), torch.zeros(1), atol=1e-3, rtol=0)
    assert sliced_apart(alike, wanted, directions) < 0.3
    assert sliced_apart(spots, wanted, directions) > 0.8
    assert sliced_apart(wanted + 1, wanted, directions) > 0.5


# --- slowly --------------------------------------------------------------------------------------------


def test_painting_slowly_brings_the_manner_over_and_keeps_what_is_shown(
    places: dict[str, str], teacher: VggFeatures
) -> None:
    photo, painting = pictures(places)
    told: list[tuple[int, float, float]] = []
    report = lambda *figures: told.append(figures)  # noqa: E731
    painted = paint_slowly(photo, painting, teacher, iterations=40, style_weight=3.0, report=report)
    assert [done for done, _, _ in told] == list(range(1, 41))
    assert told[-1][2] < 0.5 * told[0][2]
    assert painted.min() >= 0
    assert painted.max() <= 1
    chance = torch.rand(photo.shape, generator=torch.Generator().manual_seed(3))
    layer = "relu4_2"
    shown, found, of_chance = (teacher(each, (layer,))[layer] for each in (photo, painted, chance))
    assert apart(found, shown) < 0.7 * apart(of_chance, shown)


def test_the_command_paints_a_picture_and_says_what_is_wrong(
    places: dict[str, str],
    tmp_path: Path,
    teacher: VggFeatures,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "load_teacher", lambda *_: teacher)
    photo, painting = (Path(places[name].removeprefix("file://")) / "001.png" for name in ("photos", "references"))
    out = tmp_path / "painted.png"
    arguments = [str(photo), str(painting), str(out), "--side", "40", "--iterations", "3", "--device", "cpu"]
    assert command.main(arguments) == 0
    with Image.open(out) as image:
        assert image.size == (34, 40)
    assert "3 of 3" in capsys.readouterr().err
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert command.main([str(tmp_path / "broken.jpg"), *arguments[1:]]) == 1
    assert "Error: " in capsys.readouterr().err


def pictures(places: dict[str, str]) -> list[Tensor]:
    """A photo and a painting, float [1, 3, h, w] in [0, 1]."""
    with closing(runs.open_storages()) as storages:
        found = [load_references([Location.parse(place)], storages).pictures[-1] for place in places.values()]
    return [F.interpolate(picture[None] / 255, (64, 56), mode="area") for picture in found]
