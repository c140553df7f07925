"""A table as a .cube file, read back by OpenColorIO, the library behind most grading programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PyOpenColorIO as ocio  # noqa: N813  # as its documentation writes it
import pytest
import torch
from torch import Tensor

from jobs.cards import CardShelf
from worker.checkpoints import load_pipeline
from worker.cube import cube
from worker.pipelines.base import Batch, TablePipeline

NAMES = sorted(name for name, card in CardShelf().cards.items() if card.tables)


def photo(seed: int, height: int = 70, width: int = 90) -> Tensor:
    coarse = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]
    return (smooth.clamp(0, 1) * 255).byte()


def applied_elsewhere(picture: Tensor, path: Path) -> Tensor:
    """Apply a .cube file as another program would: OpenColorIO, trilinear, in floating point."""
    transform = ocio.FileTransform(str(path), interpolation=ocio.INTERP_LINEAR)
    processor = ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor()
    pixels = np.ascontiguousarray(picture.permute(1, 2, 0).numpy().astype(np.float32) / 255)
    processor.applyRGB(pixels)
    return torch.from_numpy((pixels * 255 + 0.5).clip(0, 255).astype(np.uint8)).permute(2, 0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_another_program_makes_the_same_picture_with_the_exported_table(name: str, tmp_path: Path) -> None:
    card = CardShelf().get(name)
    pipeline = load_pipeline(CardShelf(), name, torch.device("cpu"))
    assert card.tables == isinstance(pipeline, TablePipeline)
    assert isinstance(pipeline, TablePipeline)
    picture = photo(1)
    batch = Batch(images=picture[None], sizes=[(70, 90)])
    style, parameters = pipeline.encode_style([photo(2) // 2 + 40]), card.complete({})
    path = tmp_path / "look.cube"
    path.write_bytes(cube(pipeline.tables(batch, style, parameters)[0].numpy(), title=name))
    found, ours = applied_elsewhere(picture, path), pipeline.run(batch, style, parameters)[0]
    assert (found.int() - ours.int()).abs().max() <= 1
    # Tables are cut to what a file may hold; where a formula leaves the range that bends their last cell a little.
    assert (found != ours).float().mean() < 0.02


def test_the_file_says_what_it_is() -> None:
    table = np.zeros((3, 2, 2, 2), np.float32)
    table[0, :, :, 1] = 1.0  # red follows red
    lines = cube(table, title="autumn").decode().splitlines()
    assert lines[:2] == ['TITLE "autumn"', "LUT_3D_SIZE 2"]
    assert lines[4:7] == ["0.000000 0.000000 0.000000", "1.000000 0.000000 0.000000", "0.000000 0.000000 0.000000"]
