"""Pictures of one kind that become another's, without pairs: what is learned, and what the pipeline makes of it."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

from tests.worker.small_runs import check_that_it_goes_on, shrunk, small_config
from worker.checkpoints import build, read_model
from worker.pipelines.base import Batch
from worker.training.config import RunConfig
from worker.training.cycle_gan import CycleGanObjective
from worker.training.loop import Watcher
from worker.training.runs import run

CPU = torch.device("cpu")
SIDE_PX = 32


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from shrunk(monkeypatch, CycleGanObjective, side_px=SIDE_PX, probe_examples=8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Discs on blue grounds in winter, and others on orange ones in summer."""
    folder = tmp_path_factory.mktemp("turning") / "set"
    folder.mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["key", "season"])
        for number in range(24):
            season, ground = (("winter", (70, 110, 190)), ("summer", (220, 150, 60)))[number % 2]
            image = Image.new("RGB", (SIDE_PX, SIDE_PX), tuple(value + number for value in ground))
            x, y = 3 + number % 7, 4 + number % 5
            ImageDraw.Draw(image).ellipse((x, y, x + 16, y + 12), fill=(40 + 5 * number, 40, 40))
            image.save(folder / f"{number:03}.png")
            lines.writerow([f"{number:03}.png", season])
    return f"file://{folder}/"


def config(photos: str, **more: Any) -> RunConfig:
    given = {
        "objective": "cycle_gan",
        "attributes": ["season"],
        "network": {"width": 8, "depth": 2, "discriminator_width": 8},
        "iterations": 120,
        "batch": 2,
        "learning_rate": 1e-2,
        "held_out_every": 5,
    }
    return small_config(photos, **given | more)


def test_a_run_learns_to_turn_pictures_into_the_other_kind_and_back(photos: str, tmp_path: Path) -> None:
    card = run(config(photos), tmp_path / "small", watcher=Watcher(), command="restyle train")
    assert card is not None
    assert card.operation == "translate"
    assert card.config["attributes"] == {"season": ["summer", "winter"]}
    apart, unchanged = (card.metrics[f"held_out_colour_distance{end}"] for end in ("", "_unchanged"))
    assert apart < 0.5 * unchanged
    assert card.metrics["held_out_cycle_distance"] < 0.1
    pipeline = build(read_model(tmp_path / "small"), CPU)
    summer = torch.tensor([220, 150, 60], dtype=torch.uint8)[:, None, None].expand(3, 40, 56)
    batch = Batch(images=summer[None].contiguous(), sizes=[(40, 56)])
    there = pipeline.run(batch, None, card.complete({"way": "there"})).float().mean((0, 2, 3))
    back = pipeline.run(batch, None, card.complete({"way": "back"})).float().mean((0, 2, 3))
    assert there[2] - there[0] > back[2] - back[0]  # bluer
    assert torch.equal(pipeline.run(batch, None, card.complete({"strength": 0.0})), batch.images)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(photos: str, tmp_path: Path) -> None:
    check_that_it_goes_on(config(photos, iterations=6), tmp_path)
