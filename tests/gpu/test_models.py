"""Every built-in model on the device: equal bytes in any company, near the bytes of a CPU."""

from __future__ import annotations

import pytest
import torch

from jobs.cards import CardShelf
from tests.worker.test_pipelines import MODELS, batch, photo
from worker.checkpoints import load_pipeline
from worker.pipelines.base import Batch, Pipeline, TiledPipeline

LEAST_PSNR = 40.0  # dB between the devices: table and look-up are float32 on both, sums come in another order


def outputs(pipeline: Pipeline, name: str, given: Batch, device: torch.device) -> list[torch.Tensor]:
    style = pipeline.encode_style([photo(80, 120, seed=100).to(device) // 2])
    on_device = Batch(images=given.images.to(device), sizes=given.sizes)
    images = pipeline.run(on_device, style, CardShelf().get(name).complete({}))
    return [image[:, :h, :w].cpu() for image, (h, w) in zip(images, given.sizes, strict=True)]


@pytest.mark.parametrize("name", MODELS)
def test_a_picture_does_not_depend_on_its_company(device: torch.device, name: str) -> None:
    pipeline = load_pipeline(CardShelf(), name, device)
    picture, others = photo(97, 131), [photo(60 + 9 * k, 140 - 7 * k, seed=k) for k in range(1, 8)]
    (alone,) = outputs(pipeline, name, batch(picture), device)
    for size in (3, 8):
        company = [*others[: size - 1], picture]
        assert torch.equal(outputs(pipeline, name, batch(*company), device)[-1], alone)


@pytest.mark.parametrize("name", MODELS)
def test_tiles_have_no_seams(device: torch.device, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.pipelines.by_table._TILE_PIXELS", 131 * 10)
    pipeline = load_pipeline(CardShelf(), name, device)
    assert isinstance(pipeline, TiledPipeline)
    picture = photo(97, 131)
    style = pipeline.encode_style([photo(80, 120, seed=100).to(device) // 2])
    (whole,) = outputs(pipeline, name, batch(picture), device)
    tiled = pipeline.run_tiled(batch(picture), style, CardShelf().get(name).complete({}))
    assert torch.equal(tiled[0], whole)


@pytest.mark.parametrize("name", MODELS)
def test_the_device_gives_nearly_what_a_cpu_gives(device: torch.device, name: str) -> None:
    cpu = torch.device("cpu")
    (there,) = outputs(load_pipeline(CardShelf(), name, device), name, batch(photo(97, 131)), device)
    (here,) = outputs(load_pipeline(CardShelf(), name, cpu), name, batch(photo(97, 131)), cpu)
    error = (there.float() - here.float()).square().mean().clamp(min=1e-6)
    assert 10 * torch.log10(255**2 / error) >= LEAST_PSNR
