"""Filling holes: what is learned, and what the pipeline makes of pictures and holes of any size."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.worker.small_runs import check_that_it_goes_on, shrunk, small_config
from worker.checkpoints import build, read_model
from worker.networks.inpainting import REACH_PX, InpaintingNetwork, halved, smooth
from worker.pipelines import inpainting as pipelines
from worker.pipelines.base import Batch
from worker.pipelines.inpainting import Inpainting
from worker.training import inpainting
from worker.training.config import RunConfig
from worker.training.damage import MOST, random_holes
from worker.training.inpainting import InpaintingObjective
from worker.training.loop import Watcher
from worker.training.runs import run

CPU = torch.device("cpu")
CROP_PX = 32


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(inpainting, "CROP_PX", CROP_PX)
    yield from shrunk(monkeypatch, InpaintingObjective, side_px=2 * CROP_PX, probe_examples=12)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Stripes, which do not go on by themselves where a hole is filled smoothly."""
    folder = tmp_path_factory.mktemp("filling")
    down, across = np.indices((64, 64))
    for number in range(12):
        turn, period = number * 0.5, 12 + 4 * (number % 3)
        wave = np.sin((down * np.sin(turn) + across * np.cos(turn)) * 2 * np.pi / period)
        colours = np.array([128, 120, 110 + number]) + 70 * wave[..., None]
        Image.fromarray(colours.astype(np.uint8)).save(folder / f"{number:03}.png")
    return f"file://{folder}/"


def config(photos: str, **more: Any) -> RunConfig:
    given = {
        "objective": "inpainting",
        "network": {"width": 4},
        "iterations": 250,
        "learning_rate": 5e-3,
    }
    return small_config(photos, **given | more)


@pytest.fixture
def pipeline() -> Inpainting:
    """One that has learned nothing, and changes much."""
    torch.manual_seed(3)
    made = InpaintingNetwork(width=4)
    torch.nn.init.normal_(made.out.weight, std=0.1)
    return Inpainting(made, CPU)


def picture(height: int, width: int, *, seed: int = 0) -> Tensor:
    return torch.randint(256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def hole(height: int, width: int, *, seed: int = 0) -> Tensor:
    """A mask with a block and a dot, uint8 [1, h, w]."""
    made = torch.zeros(1, height, width, dtype=torch.uint8)
    made[:, height // 4 : height // 2 + 1, (seed % 3) * width // 4 : width * 2 // 3 + 1] = 255
    made[:, -1, -1] = 1
    return made


def fill(pipeline: Inpainting, of: Tensor, mask: Tensor) -> Tensor:
    return pipeline.run(Batch(images=of[None], sizes=[(of.shape[1], of.shape[2])], masks=mask[None]), None, {})[0]


def test_a_run_learns_what_belongs_in_holes(photos: str, tmp_path: Path) -> None:
    card = run(config(photos), tmp_path / "small", watcher=Watcher(), command="restyle train")
    assert card is not None
    assert card.operation == "inpaint"
    assert card.metrics["held_out_gain_db"] > 0.15
    with Image.open(tmp_path / "small" / "samples" / "00000250.png") as sheet:
        assert sheet.width > 3 * CROP_PX
    pipeline = build(read_model(tmp_path / "small"), CPU)
    batch = Batch(images=picture(30, 20)[None], sizes=[(30, 20)], masks=hole(30, 20)[None])
    assert not torch.equal(pipeline.run(batch, None, {}), batch.images)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(photos: str, tmp_path: Path) -> None:
    check_that_it_goes_on(config(photos, iterations=6), tmp_path)


def test_holes_are_many_kinds_and_never_most_of_a_picture() -> None:
    holes = random_holes(64, 96, torch.Generator().manual_seed(1))
    shares = holes.mean((1, 2, 3))
    assert shares.min() > 0
    assert shares.max() <= MOST
    assert shares.quantile(0.2) < 0.05
    assert shares.quantile(0.8) > 0.1
    assert torch.equal(holes, random_holes(64, 96, torch.Generator().manual_seed(1)))


def test_half_the_size_is_the_mean_of_what_is_known() -> None:
    values = torch.tensor([[1.0, 3.0, 9.0], [5.0, 7.0, 9.0], [2.0, 4.0, 8.0]])[None, None].repeat(1, 3, 1, 1)
    known = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])[None, None]
    half, half_known = halved(values, known)
    torch.testing.assert_close(half[0, 0], torch.tensor([[3.0, 0.0], [3.0, 8.0]]))
    assert half_known[0, 0].tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("size", [(96, 96), (61, 130), (1, 5)])
def test_what_is_filled_smoothly_goes_on_between_its_borders(size: tuple[int, int]) -> None:
    height, width = size
    slope = torch.linspace(0.2, 0.8, width).expand(1, 3, height, width)
    hole = torch.zeros(1, 1, height, width)
    hole[:, :, :, width // 4 : width * 3 // 4] = 1
    found = smooth(slope * (1 - hole), hole)
    assert torch.equal(found * (1 - hole), slope * (1 - hole))
    assert (found - slope).abs().max() < 0.1
    assert smooth(slope, torch.ones_like(hole)).unique().tolist() == [0.5]


def test_nothing_beyond_its_reach_tells_on_a_pixel() -> None:
    torch.manual_seed(3)
    made, middle = InpaintingNetwork(width=4).double(), 80
    torch.nn.init.normal_(made.out.weight)
    for at in range(middle, middle + 4):  # wherever it lies on the network's grid
        filled = torch.rand(1, 3, 160, 160, dtype=torch.double).requires_grad_()
        made(filled, torch.ones(1, 1, 160, 160, dtype=torch.double))[0, :, at, at].sum().backward()
        assert filled.grad is not None
        rows = filled.grad.abs().sum((0, 1, 3)).nonzero().flatten()
        assert at - REACH_PX <= rows.min()
        assert rows.max() <= at + REACH_PX


def test_every_pixel_outside_of_the_mask_comes_back_and_what_was_in_it_does_not_matter(pipeline: Inpainting) -> None:
    given, mask = picture(150, 140), hole(150, 140)
    found = fill(pipeline, given, mask)
    assert torch.equal(torch.where(mask > 0, 0, found), torch.where(mask > 0, 0, given))
    assert not torch.equal(found, given)
    other = torch.where(mask > 0, picture(150, 140, seed=9), given)
    assert torch.equal(fill(pipeline, other, mask), found)
    assert torch.equal(fill(pipeline, given, mask * 0), given)


def test_a_picture_does_not_depend_on_its_company_or_padding(pipeline: Inpainting) -> None:
    sizes = [(40, 56), (64, 64), (17, 64), (40, 33), (1, 1), (64, 2), (50, 50), (3, 61)]
    images = picture(64, 64)[None].repeat(8, 1, 1, 1)
    masks = torch.full((8, 1, 64, 64), 255, dtype=torch.uint8)
    for number, (height, width) in enumerate(sizes):
        images[number, :, :height, :width] = picture(height, width, seed=number)
        masks[number, :, :height, :width] = hole(height, width, seed=number)
    for start, end in ((0, 8), (0, 3)):
        batch = Batch(images=images[start:end], sizes=sizes[start:end], masks=masks[start:end])
        found = pipeline.run(batch, None, {})
        for number, (height, width) in enumerate(sizes[start:end]):
            alone = fill(pipeline, picture(height, width, seed=number), hole(height, width, seed=number))
            assert torch.equal(found[number, :, :height, :width], alone)
            assert torch.equal(
                pipeline.run_tiled(batch.part(number, number + 1), None, {})[0, :, :height, :width], alone
            )


def test_tiles_leave_no_seam(pipeline: Inpainting, monkeypatch: pytest.MonkeyPatch) -> None:
    given, mask = picture(170, 200), hole(170, 200)
    mask[:, 60:100] = 255
    found = {}
    for side in (32, 64, 256):
        monkeypatch.setattr(pipelines, "TILE_PX", side)
        found[side] = fill(pipeline, given, mask).float()
    for side in (32, 64):
        assert (found[side] - found[256]).abs().max() <= 1  # but for how the last bit rounds


def test_holes_larger_than_its_reach_are_filled_from_far_away_in_pieces_of_one_size(pipeline: Inpainting) -> None:
    shapes = set()
    pipeline._network.register_forward_pre_hook(lambda _module, given: shapes.add(tuple(given[0].shape)))
    ground = torch.tensor([200, 120, 40], dtype=torch.uint8)[:, None, None].expand(3, 700, 620).contiguous()
    torch.nn.init.zeros_(pipeline._network.out.weight)  # a network that keeps each guess
    mask = torch.zeros(1, 700, 620, dtype=torch.uint8)
    mask[:, 20:680, 30:610] = 255
    assert (fill(pipeline, ground * (mask == 0), mask).int() - ground).abs().max() <= 1
    assert fill(pipeline, ground, torch.full_like(mask, 255)).unique().tolist() == [128]  # nothing is known: grey
    side = pipelines.TILE_PX + 2 * pipelines.AROUND_PX
    assert shapes == {(1, 3, side, side)}


def test_plain_grounds_stay_plain_whatever_the_network_adds(pipeline: Inpainting) -> None:
    ground = torch.tensor([200, 120, 40], dtype=torch.uint8)[:, None, None].expand(3, 90, 70).contiguous()
    assert (fill(pipeline, ground, hole(90, 70)).int() - ground).abs().max() <= 1


def test_a_batch_without_masks_is_refused(pipeline: Inpainting) -> None:
    with pytest.raises(ValueError, match="no masks"):
        pipeline.run(Batch(images=picture(8, 8)[None], sizes=[(8, 8)]), None, {})
