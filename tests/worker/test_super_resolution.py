"""Enlarging: what is learned, and what the pipeline makes of pictures of any size."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from jobs.cards import Card, CardShelf
from tests.worker.small_runs import check_that_it_goes_on, shrunk, small_config
from worker.checkpoints import build, read_model
from worker.networks.super_resolution import SuperResolutionNetwork, bicubic
from worker.networks.vgg import VggFeatures
from worker.pipelines import super_resolution as pipelines
from worker.pipelines.base import Batch, TiledPipeline
from worker.pipelines.super_resolution import SuperResolution
from worker.training import runs, super_resolution
from worker.training.config import RunConfig
from worker.training.loop import Watcher
from worker.training.runs import run
from worker.training.super_resolution import SuperResolutionObjective

CPU = torch.device("cpu")
CROP_PX = 48


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(super_resolution, "CROP_PX", CROP_PX)
    yield from shrunk(monkeypatch, SuperResolutionObjective, side_px=64, probe_examples=12)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fine stripes, of which interpolation leaves less than there was."""
    folder = tmp_path_factory.mktemp("enlarging")
    down, across = np.indices((64, 64))
    for number in range(12):
        turn, period = number * 0.5, 4.5 + 2.5 * (number % 4)
        wave = np.sin((down * np.sin(turn) + across * np.cos(turn)) * 2 * np.pi / period)
        colours = np.array([128, 120, 110 + number]) + 70 * wave[..., None]
        Image.fromarray(colours.astype(np.uint8)).save(folder / f"{number:03}.png")
    return f"file://{folder}/"


def config(photos: str, **more: Any) -> RunConfig:
    given = {
        "objective": "super_resolution",
        "network": {"scale": 2, "width": 8, "blocks": 1},
        "iterations": 120,
        "learning_rate": 1e-2,
    }
    return small_config(photos, **given | more)


def network(scale: int = 2) -> SuperResolutionNetwork:
    """One that has learned nothing, and changes much."""
    torch.manual_seed(3)
    made = SuperResolutionNetwork(scale=scale, width=8, blocks=2)
    torch.nn.init.normal_(made.last.weight, std=0.1)
    return made.eval()


def picture(height: int, width: int, *, seed: int = 0) -> Tensor:
    return torch.randint(256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def run_one(pipeline: SuperResolution, of: Tensor) -> Tensor:
    return pipeline.run(Batch(images=of[None], sizes=[(of.shape[1], of.shape[2])]), None, {})[0]


@pytest.mark.parametrize("scale", [2, 4])
def test_a_run_learns_to_enlarge_better_than_bicubic_interpolation(scale: int, photos: str, tmp_path: Path) -> None:
    sizes = {"scale": scale, "width": 8, "blocks": 1}
    card = run(config(photos, network=sizes), tmp_path / "small", watcher=Watcher(), command="restyle train")
    assert card is not None
    assert card.operation == "upscale"
    assert card.metrics["held_out_gain_db"] > 1
    with Image.open(tmp_path / "small" / "samples" / "00000120.png") as sheet:
        assert sheet.width > 3 * CROP_PX
    pipeline = build(read_model(tmp_path / "small"), CPU)
    assert isinstance(pipeline, TiledPipeline)
    assert pipeline.run(Batch(images=picture(10, 14)[None], sizes=[(10, 14)]), None, {}).shape == (
        1,
        3,
        scale * 10,
        scale * 14,
    )


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(photos: str, tmp_path: Path) -> None:
    check_that_it_goes_on(config(photos, iterations=6), tmp_path)


def test_a_model_is_trained_on_to_look_sharp_to_a_teacher_and_to_a_judge(
    photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(7)
    teacher = VggFeatures(narrower=16)
    for convolution in teacher.convolutions.values():
        torch.nn.init.kaiming_normal_(convolution.weight)  # so that deep layers still tell pictures apart
    monkeypatch.setattr(runs, "load_teacher", lambda _device: teacher.eval().requires_grad_(False))
    assert run(config(photos, iterations=40), tmp_path / "plain", watcher=Watcher(), command="") is not None
    on = {"objective": "super_resolution_sharp", "start_from": str(tmp_path / "plain"), "network": {}}
    on |= {"iterations": 80, "measure_every": 10}
    card = run(config(photos, **on), tmp_path / "sharp", watcher=Watcher(), command="")
    assert card is not None
    lines = [json.loads(line) for line in (tmp_path / "sharp" / "curve.jsonl").read_text().splitlines()]
    seen = [line["held_out_perceptual_distance"] for line in lines if "held_out_perceptual_distance" in line]
    assert seen[-1] < 0.95 * min(seen[0], card.metrics["held_out_bicubic_perceptual_distance"])
    assert fmean(line["loss_discriminator"] for line in lines[-10:]) < lines[0]["loss_discriminator"]
    assert card.training is not None
    assert card.training["started_from"]["name"] == "small"
    plain, sharp = (load_file(tmp_path / name / "weights.safetensors") for name in ("plain", "sharp"))
    assert plain.keys() == sharp.keys()  # the judge is no part of the model
    build(read_model(tmp_path / "sharp"), CPU)
    stopped = Watcher(stop=iter([False] * 9 + [True]).__next__)
    assert run(config(photos, **on), tmp_path / "again", watcher=stopped, command="") is None
    assert run(config(photos, **on), tmp_path / "again", watcher=Watcher(), command="") is not None
    again = load_file(tmp_path / "again" / "weights.safetensors")
    assert all(torch.equal(sharp[name], again[name]) for name in sharp)


@pytest.mark.parametrize("scale", [2, 4])
def test_what_is_interpolated_is_what_pillow_interpolates(scale: int) -> None:
    small = picture(21, 17) // 2 + 64  # far from black and white, at which Pillow cuts between its two steps
    image = Image.fromarray(small.permute(1, 2, 0).numpy()).resize((17 * scale, 21 * scale), Image.Resampling.BICUBIC)
    found = (bicubic(small[None] / 255, scale)[0] * 255).clamp(0, 255)
    assert (found - torch.from_numpy(np.array(image)).permute(2, 0, 1)).abs().max() < 1.2  # it rounds twice


@pytest.mark.parametrize("scale", [2, 4])
def test_nothing_beyond_its_reach_tells_on_a_pixel(scale: int) -> None:
    made, small = network(scale), torch.rand(1, 3, 31, 31).requires_grad_()
    made(small)[0, :, 15 * scale, 15 * scale].sum().backward()
    assert small.grad is not None
    rows = small.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert 15 - made.reach_px <= rows.min()
    assert rows.max() <= 15 + made.reach_px


@pytest.mark.parametrize("scale", [2, 4])
def test_tiles_leave_no_seam(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, small = network(scale), picture(67, 90)
    around = made.reach_px
    with torch.inference_mode():
        wide = torch.nn.functional.pad(small[None] / 255, [around] * 4, mode="replicate")
        whole = made(wide)[0, :, scale * around : -scale * around, scale * around : -scale * around]
    for side in (16, 31, 192):
        monkeypatch.setattr(pipelines, "TILE_PX", side)
        found = run_one(SuperResolution(made, CPU), small)
        assert (found - (whole * 255).clamp(0, 255)).abs().max() < 0.501  # but for how the last bit rounds


def test_a_picture_does_not_depend_on_its_company_or_padding() -> None:
    pipeline = SuperResolution(network(), CPU)
    sizes = [(40, 56), (64, 64), (17, 64), (40, 33), (1, 1), (64, 2), (50, 50), (3, 61)]
    images = picture(64, 64)[None].repeat(8, 1, 1, 1)
    for number, (height, width) in enumerate(sizes):
        images[number] = 255
        images[number, :, :height, :width] = picture(height, width, seed=number)
    for start, end in ((0, 8), (0, 3)):
        found = pipeline.run(Batch(images=images[start:end], sizes=sizes[start:end]), None, {})
        assert found.shape == (end - start, 3, 128, 128)
        for number, (height, width) in enumerate(sizes[start:end]):
            alone = run_one(pipeline, picture(height, width, seed=number))
            assert torch.equal(found[number, :, : 2 * height, : 2 * width], alone)
            tiled = pipeline.run_tiled(Batch(images=images[number][None], sizes=[sizes[number]]), None, {})
            assert torch.equal(tiled[0, :, : 2 * height, : 2 * width], alone)


def test_a_large_picture_goes_through_the_network_in_pieces_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "TILE_PX", 32)
    made, shapes = network(), set()
    made.register_forward_pre_hook(lambda _module, given: shapes.add(tuple(given[0].shape)))
    run_one(SuperResolution(made, CPU), picture(100, 75))
    assert shapes == {(1, 3, 32 + 2 * made.reach_px, 32 + 2 * made.reach_px)}


def test_a_batch_that_breaks_the_contract_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        SuperResolution(network(), CPU).run(Batch(images=picture(8, 8)[None], sizes=[(9, 8)]), None, {})


def test_the_cards_of_the_built_in_models_say_how_they_were_made() -> None:
    for scale in (2, 4):
        card: Card = CardShelf().get(f"super-resolution-{scale}x", operation="upscale")
        assert card.config["scale"] == scale
        assert card.training is not None
        assert card.training["command"].startswith("restyle train")
