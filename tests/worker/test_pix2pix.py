"""Drawings that become pictures: what is learned, and what the pipeline makes of drawings of any size."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from jobs.errors import InvalidRequest
from tests.worker.small_runs import check_that_it_goes_on, shrunk, small_config
from worker.checkpoints import build, read_model
from worker.networks.pix2pix import Discriminators, TranslationNetwork
from worker.pipelines.base import Batch
from worker.pipelines.pix2pix import Pix2Pix
from worker.training.config import RunConfig
from worker.training.loop import Watcher
from worker.training.pix2pix import Pix2PixObjective
from worker.training.runs import run

CPU = torch.device("cpu")
SIDE_PX = 32
COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200), "green": (40, 160, 40)}
SIZES = {"width": 8, "depth": 3, "discriminators": 1, "discriminator_width": 8}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("worker.pipelines.pix2pix.SIDE_PX", SIDE_PX)
    yield from shrunk(monkeypatch, Pix2PixObjective, side_px=SIDE_PX, probe_examples=12)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Round and square things on white, with masks, outlines, and a colour, which an outline does not tell."""
    folder = tmp_path_factory.mktemp("drawing") / "set"
    for layer in ("pictures", "masks", "edges"):
        (folder / layer).mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["pictures", "masks", "edges", "colour"])
        for number in range(24):
            names = [f"{layer}/{number:03}.png" for layer in ("pictures", "masks", "edges")]
            x, y, side = 4 + number % 5, 3 + number % 4, 12 + number % 7
            box, round_ = (x, y, x + side, y + side), number % 2 == 0
            colour = list(COLOURS)[number % 3]
            for name, mode, ground, how in (
                (names[0], "RGB", (250, 250, 250), {"fill": COLOURS[colour]}),
                (names[1], "L", 0, {"fill": 255}),
                (names[2], "L", 0, {"outline": 255}),
            ):
                image = Image.new(mode, (SIDE_PX, SIDE_PX), ground)
                draw = ImageDraw.Draw(image)
                (draw.ellipse if round_ else draw.rectangle)(box, **how)
                image.save(folder / name)
            lines.writerow([*names, colour])
    return f"file://{folder}/"


def config(photos: str, **more: Any) -> RunConfig:
    given = {
        "objective": "pix2pix",
        "sidecars": ["edges", "masks"],
        "attributes": ["colour"],
        "network": SIZES,
        "iterations": 120,
        "learning_rate": 4e-3,
    }
    return small_config(photos, **given | more)


@pytest.mark.parametrize("discriminators", [1, 2])
def test_a_run_learns_to_fill_outlines_with_the_colour_that_it_is_told(
    discriminators: int, photos: str, tmp_path: Path
) -> None:
    sizes = {**SIZES, "discriminators": discriminators}
    card = run(config(photos, network=sizes), tmp_path / "small", watcher=Watcher(), command="restyle train")
    assert card is not None
    assert card.operation == "translate"
    assert card.metrics["held_out_likeness"] > -0.08
    assert card.metrics["held_out_mask_iou"] > 0.75
    assert card.metrics["held_out_mask_iou_of_the_pictures"] > 0.95
    with Image.open(tmp_path / "small" / "samples" / "00000120.png") as sheet:
        assert sheet.width > 3 * SIDE_PX
    pipeline = build(read_model(tmp_path / "small"), CPU)
    assert card.parameters["colour"].enum == ("any", "blue", "green", "red")
    drawing = torch.zeros(1, 3, SIDE_PX, SIDE_PX, dtype=torch.uint8)
    drawing[:, :, 6:22, 7:23] = 255
    drawing[:, :, 7:21, 8:22] = 0
    batch = Batch(images=drawing, sizes=[(SIDE_PX, SIDE_PX)])
    inside = {
        colour: pipeline.run(batch, None, card.complete({"colour": colour}))[0, :, 10:18, 11:19].float().mean((1, 2))
        for colour in card.parameters["colour"].enum
    }
    for number, colour in enumerate(("red", "green", "blue")):
        assert inside[colour].argmax() == number
    assert pipeline.run(batch, None, {}).shape == drawing.shape


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(photos: str, tmp_path: Path) -> None:
    check_that_it_goes_on(config(photos, iterations=6), tmp_path)


def test_a_run_without_drawings_is_refused(photos: str) -> None:
    with pytest.raises(InvalidRequest, match="sidecars"):
        config(photos, sidecars=[])


def test_discriminators_judge_at_several_sizes() -> None:
    drawings, pictures = torch.rand(2, 2, 3, 64, 64)
    judged = Discriminators(width=4, count=2)(drawings, pictures)
    assert len(judged) == 2
    assert judged[0][-1].shape[2] > 1.5 * judged[1][-1].shape[2]
    assert judged[0][-1].shape[1] == 1


def test_a_drawing_does_not_depend_on_its_company_or_padding() -> None:
    torch.manual_seed(3)
    pipeline = Pix2Pix(TranslationNetwork(width=4, depth=5, attributes={"colour": ["blue", "red"]}), CPU)
    sizes = [(40, 56), (128, 128), (17, 64), (40, 33), (1, 1), (128, 2), (50, 50), (3, 61)]
    images = torch.full((8, 3, 128, 128), 255, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    drawings = [torch.randint(256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]
    for number, (height, width) in enumerate(sizes):
        images[number, :, :height, :width] = drawings[number]
    for start, end in ((0, 8), (0, 3)):
        found = pipeline.run(Batch(images=images[start:end], sizes=sizes[start:end]), None, {})
        for number, (height, width) in enumerate(sizes[start:end]):
            alone = run_one(pipeline, drawings[number])
            assert torch.equal(found[number, :, :height, :width], alone)


def run_one(pipeline: Pix2Pix, drawing: Tensor) -> Tensor:
    return pipeline.run(Batch(images=drawing[None], sizes=[(drawing.shape[1], drawing.shape[2])]), None, {})[0]
