"""Networks that are compiled: before the worker is ready, into a folder that others find, and named by the engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from jobs.cards import CardShelf
from jobs.database import Database
from jobs.storage import Storages
from tests.worker.test_stream import Bench
from worker.checkpoints import FORMULAS
from worker.images import PictureLimits
from worker.model_cache import ModelCache
from worker.pipelines.base import Batch, Parameters

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, g++")


class Small(nn.Module):
    """Not a Sequential: torch compiles none that stands alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, colours: Tensor) -> Tensor:
        return nn.functional.silu(self.layer(colours))


class Mean:
    """Paints a picture in the mean of a small network's answer."""

    def __init__(self) -> None:
        self.network = Small().eval()
        self.runs = 0

    def compile(self) -> None:
        assert self.runs == 0
        self.network.compile(dynamic=False)

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor | None:
        return None

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        self.runs += 1
        colours = batch.images.float().mean((2, 3))
        found = torch.cat([self.network(colour[None]) for colour in colours])
        return found.clamp(0, 255).to(torch.uint8)[:, :, None, None].expand_as(batch.images).clone()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Mean]:
    """A shelf with one model in the folder `models`, and whatever was made of it."""
    made: list[Mean] = []

    def make(_device: torch.device) -> Mean:
        made.append(Mean())
        return made[-1]

    monkeypatch.setitem(FORMULAS, "mean", make)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # so that it is put back
    (tmp_path / "models" / "mean").mkdir(parents=True)
    card = {
        "name": "mean",
        "version": "1",
        "operation": "restyle",
        "architecture": "mean",
        "summary": ".",
        "licence": "MIT",
    }
    (tmp_path / "models" / "mean" / "model.json").write_text(json.dumps(card))
    return made


def cache(folder: Path, *, compile_dir: Path | None) -> ModelCache:
    return ModelCache(
        CardShelf(folder / "models"),
        torch.device("cpu"),
        Storages(),
        PictureLimits(),
        memory_bytes=64 << 20,
        compile_dir=compile_dir,
    )


@needs_compiler
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # of torch, in its own compiler
def test_a_network_is_compiled_before_the_worker_is_ready_and_its_engine_says_so(
    sqlite_url: str, tmp_path: Path, made: list[Mean]
) -> None:
    kept = tmp_path / "compiled"
    compiled, plain = cache(tmp_path, compile_dir=kept), cache(tmp_path, compile_dir=None)
    for models in (compiled, plain):
        models.warm_up()
    assert [model.runs for model in made] == [1, 1]
    [folder] = kept.iterdir()  # of this device, torch and weights
    assert any(path.is_file() for path in folder.rglob("*"))
    claim = Bench(Database(sqlite_url), tmp_path).claim(model="mean")
    engines = [models.prepare(claim).engine for models in (compiled, plain)]
    assert [engine.compile_mode for engine in engines] == ["default", None]
    assert engines[0].digest != engines[1].digest


def test_nothing_is_compiled_unless_a_folder_is_named(tmp_path: Path, made: list[Mean]) -> None:
    models = cache(tmp_path, compile_dir=None)
    models.warm_up()
    assert made[0].network._compiled_call_impl is None
