"""Large models of other makers: every operation, with tiny pipelines of random weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from jobs.cards import CardShelf
from jobs.errors import CheckpointMismatch
from tests.nursery import ROOT
from tests.worker.hub import REPOSITORY, hub
from tests.worker.tiny_diffusion import write_adapter, write_lora, write_pipeline
from worker.cascade import ReadyStep
from worker.cascade import run as run_steps
from worker.checkpoints import build, build_generating, prove_weights, read_checkpoint
from worker.large_models import ENDINGS, digest_of
from worker.pipelines.base import Batch, Wish

CPU = torch.device("cpu")
SIDE = 64
NUMBER = {"type": "number", "description": ".", "default": 1.0, "minimum": 0, "maximum": 20}
WHOLE = {"type": "integer", "description": ".", "default": 2, "minimum": 0, "maximum": 100}
PARAMETERS = {"steps": WHOLE, "guidance": NUMBER, "seed": WHOLE, "freedom": NUMBER, "strength": NUMBER}
CONFIG = {"side_px": SIDE, "prompt": "a {colour} {kind}", "attributes": {"colour": ["red", "blue"], "kind": []}}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_pipeline(folder)
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def shelf(files: Path, folder: Path, operation: str, **members: Any) -> CardShelf:
    """A shelf with one model, `large`, of these files."""
    place = folder / operation / "large"
    for name in ("pipeline", "controlnet"):
        shutil.copytree(files / name, place / name)
    for path in files.glob("*.safetensors"):
        shutil.copy(path, place)
    if (files / "image_encoder").exists():
        shutil.copytree(files / "image_encoder", place / "image_encoder")
    card = {"name": "large", "version": "1", "operation": operation, "architecture": "diffusers", "summary": "."}
    card |= {"licence": "MIT", "config": CONFIG, "parameters": PARAMETERS, "weights_sha256": digest_of(place)}
    (place / "model.json").write_text(json.dumps(card | members))
    return CardShelf(folder / operation)


def made(models: CardShelf, wishes: list[Wish]) -> Tensor:
    pipeline = build_generating(read_checkpoint(models, "large"), CPU)
    return pipeline.generate(wishes, models.get("large").complete({}))


def drawn(height: int, width: int) -> Tensor:
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([across * 2 % 256, down * 3 % 256, (down + across) % 256]).to(torch.uint8)


def test_a_wish_is_the_same_picture_in_any_company(files: Path, tmp_path: Path) -> None:
    models = shelf(files, tmp_path, "generate")
    wishes = [
        Wish(attributes={"colour": "red", "kind": kind}, seed=seed)
        for kind, seed in (("mug", 1), ("mug", 2), ("old shoe", 1))
    ]
    together = made(models, wishes)
    assert (together.dtype, together.shape) == (torch.uint8, (3, 3, SIDE, SIDE))
    assert torch.equal(together[1:2], made(models, wishes[1:2]))
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together[0], together[2])
    with pytest.raises(ValueError, match="no attribute season"):
        made(models, [Wish(attributes={"season": "winter"}, seed=1)])


def test_a_lora_beside_the_pipeline_changes_its_pictures(files: Path, tmp_path: Path) -> None:
    wish = [Wish(attributes={"kind": "mug"}, seed=1)]
    plain = made(shelf(files, tmp_path / "plain", "generate"), wish)
    other = tmp_path / "files"
    shutil.copytree(files, other)
    write_lora(other)
    assert not torch.equal(plain, made(shelf(other, tmp_path / "lora", "generate"), wish))


def test_a_style_is_what_an_adapter_sees_in_its_references(files: Path, tmp_path: Path) -> None:
    other = tmp_path / "files"
    shutil.copytree(files, other)
    write_adapter(other)
    models = shelf(other, tmp_path, "restyle", needs_style=True)
    pipeline = build(read_checkpoint(models, "large"), CPU)
    batch = Batch(images=drawn(80, 70)[None], sizes=[(80, 70)])
    dark, light = (torch.full((3, 50, 40), value, dtype=torch.uint8) for value in (20, 230))
    codes = [pipeline.encode_style(references) for references in ([dark], [light], [dark, light])]
    first, second, both = (code for code in codes if code is not None)
    assert torch.allclose(both, (first + second) / 2, atol=1e-6)
    for guidance in (1.0, 5.0):
        parameters = models.get("large").complete({"guidance": guidance})
        found = [pipeline.run(batch, code, parameters) for code in (first, first, second)]
        assert torch.equal(found[0], found[1])
        assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("operation", ["restyle", "inpaint", "translate"])
def test_pictures_of_any_size_are_worked_on_in_any_company(files: Path, tmp_path: Path, operation: str) -> None:
    models = shelf(files, tmp_path, operation)
    pipeline, parameters = build(read_checkpoint(models, "large"), CPU), models.get("large").complete({})
    images = torch.zeros(2, 3, 128, 128, dtype=torch.uint8)
    images[0, :, :100, :90], images[1, :, :40, :120] = drawn(100, 90), drawn(40, 120)
    masks = torch.zeros(2, 1, 128, 128, dtype=torch.uint8)
    masks[:, :, 10:30, 20:50] = 255
    batch = Batch(images=images, sizes=[(100, 90), (40, 120)], masks=masks)
    steps = [ReadyStep(pipeline=pipeline, style=None, parameters=parameters, on="product")]
    found = run_steps(steps, batch)
    assert found.shape == images.shape
    for number, (height, width) in enumerate(batch.sizes):
        inside = (masks[number] > 0)[:, :height, :width].expand(3, -1, -1)
        before, after = images[number, :, :height, :width], found[number, :, :height, :width]
        assert torch.equal(after[~inside], before[~inside])
        assert not torch.equal(after[inside], before[inside])
        alone = run_steps(steps, batch.part(number, number + 1))
        assert torch.equal(alone[0, :, :height, :width], after)


def test_a_look_without_freedom_or_strength_changes_nothing(files: Path, tmp_path: Path) -> None:
    models = shelf(files, tmp_path, "restyle")
    pipeline = build(read_checkpoint(models, "large"), CPU)
    batch = Batch(images=drawn(80, 70)[None], sizes=[(80, 70)])
    for given in ({"freedom": 0}, {"strength": 0}):
        assert torch.equal(pipeline.run(batch, None, models.get("large").complete(given)), batch.images)


def test_files_that_are_not_those_of_the_card_are_refused(files: Path, tmp_path: Path) -> None:
    models = shelf(files, tmp_path, "generate")
    prove_weights(models, "large")
    scheduler = tmp_path / "generate" / "large" / "pipeline" / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace("0.012", "0.013"))
    for look in (prove_weights, read_checkpoint):
        with pytest.raises(CheckpointMismatch, match="the card names another"):
            look(models, "large")


def test_weights_that_could_run_code_are_not_read(files: Path, tmp_path: Path) -> None:
    models = shelf(files, tmp_path, "generate")
    unet = tmp_path / "generate" / "large" / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, unet.with_suffix(".bin"))
    unet.unlink()
    card = json.loads((tmp_path / "generate" / "large" / "model.json").read_text())
    card["weights_sha256"] = digest_of(tmp_path / "generate" / "large")
    (tmp_path / "generate" / "large" / "model.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointMismatch, match="no pipeline to generate"):
        made(CardShelf(tmp_path / "generate"), [Wish(attributes={}, seed=1)])
    del models


def test_what_is_on_no_disk_and_may_not_be_fetched_is_refused(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = CONFIG | {"hub": "nobody/nothing", "revision": "main"}
    models = shelf(files, tmp_path, "generate", config=config)
    with pytest.raises(CheckpointMismatch, match="cannot be had from nobody/nothing"):
        read_checkpoint(models, "large")


def fetched(models: CardShelf, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Ask for the files of the shelf's model in a process of its own: the hub's library reads its settings once."""
    code = "import sys, pathlib; from jobs.cards import CardShelf; from worker.large_models import folder_of; "
    code += "folder = pathlib.Path(sys.argv[1]); print(folder_of(CardShelf(folder).get('large'), folder / 'large'))"
    return subprocess.run(
        [sys.executable, "-c", code, str(models.folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_CACHE": str(cache), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_files_are_fetched_from_a_hub_once_and_have_to_be_those_of_the_card(files: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(files / "pipeline", kept)
    (kept / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"could run code")
    config = CONFIG | {"hub": REPOSITORY, "revision": "main"}
    card = {"config": config, "weights_sha256": digest_of(kept)}
    models = shelf(files, tmp_path / "models", "generate", **card)
    other = shelf(files, tmp_path / "other", "generate", **card | {"weights_sha256": "0" * 64})
    with hub(kept) as url:
        first = fetched(models, tmp_path / "cache", HF_ENDPOINT=url)
        refused = fetched(other, tmp_path / "cache", HF_ENDPOINT=url)
    assert first.returncode == 0, first.stderr
    assert "the card names another" in refused.stderr
    place = Path(first.stdout.strip())
    found = {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert found == {
        path.relative_to(kept): path.read_bytes()
        for path in kept.rglob("*")
        if path.is_file() and path.suffix in ENDINGS
    }
    assert not any(path.suffix == ".bin" for path in found)
    again = fetched(models, tmp_path / "cache", HF_HUB_OFFLINE="1")
    assert again.stdout == first.stdout
