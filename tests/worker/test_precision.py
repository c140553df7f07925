"""In which number format networks compute: what the card allows, where there are instructions for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from jobs.cards import Card, CardShelf
from worker import precision
from worker.checkpoints import NETWORKS, build, read_checkpoint
from worker.engine import engine_of
from worker.pipelines.base import Batch, Pipeline
from worker.quality.similarity import psnr_db

CPU = torch.device("cpu")
HALF = [card.name for card in CardShelf().cards.values() if card.precision == "bfloat16"]


def flags(monkeypatch: pytest.MonkeyPatch, folder: Path, words: str) -> None:
    """Let the processor be one that can do this."""
    (folder / "cpuinfo").write_text(f"processor : 0\nflags\t\t: fpu {words}\n")
    monkeypatch.setattr(precision, "CPUINFO", folder / "cpuinfo")
    precision._flags.cache_clear()


@pytest.fixture(autouse=True)
def _restored() -> object:
    yield
    precision._flags.cache_clear()


@pytest.mark.parametrize(
    ("words", "expected"), [("avx512_bf16", "bfloat16"), ("amx_bf16", "bfloat16"), ("avx2", "float32")]
)
def test_a_card_that_allows_it_computes_in_bfloat16_where_there_are_instructions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, expected: str
) -> None:
    flags(monkeypatch, tmp_path, words)
    card = CardShelf().get("super-resolution-2x")
    assert str(precision.precision_of(card, CPU)) == f"torch.{expected}"
    assert engine_of(CPU, card).dtype == expected
    assert engine_of(CPU, CardShelf().get("reference-grade")).dtype == "float32"


def pictures(name: str, dtype: torch.dtype, batch: Batch) -> Tensor:
    checkpoint = read_checkpoint(CardShelf(), name)
    pipeline: Pipeline = NETWORKS[checkpoint.card.architecture](
        checkpoint.card.config, checkpoint.weights, CPU, dtype=dtype
    )
    return pipeline.run(batch, None, checkpoint.card.complete({}))


def drawn(height: int, width: int) -> Tensor:
    """A picture with edges and slopes."""
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([(across * 5) % 256, ((down // 9 + across // 7) % 2) * 200 + 20, (down * 3) % 256]).to(
        torch.uint8
    )


@pytest.mark.parametrize("name", HALF)
def test_pictures_in_bfloat16_are_as_near_as_their_card_says(name: str) -> None:
    picture = drawn(90, 70)
    batch = Batch(images=picture[None], sizes=[(90, 70)])
    exact, half = (pictures(name, dtype, batch) for dtype in (torch.float32, torch.bfloat16))
    assert not torch.equal(exact, half)  # it is another format
    found = psnr_db(exact[0] / 255, half[0] / 255)
    assert found is not None
    assert found > CardShelf().get(name).metrics["bfloat16_psnr_db"] - 6  # photos are smoother than this


@pytest.mark.parametrize("name", HALF)
def test_bytes_do_not_depend_on_the_batch_in_bfloat16_either(name: str) -> None:
    one, other = drawn(64, 48), drawn(40, 64).flip(2)
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    images[0, :, :, :48], images[1, :, :40] = one, other
    together = pictures(name, torch.bfloat16, Batch(images=images, sizes=[(64, 48), (40, 64)]))
    alone = pictures(name, torch.bfloat16, Batch(images=one[None].clone(), sizes=[(64, 48)]))
    assert torch.equal(together[0, :, : alone.shape[2], : alone.shape[3]], alone[0])


def test_a_card_must_say_what_bfloat16_costs_and_an_architecture_must_know_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = CardShelf().get("reference-grade")
    with pytest.raises(ValidationError, match="bfloat16_psnr_db"):
        Card.model_validate(card.model_dump() | {"precision": "bfloat16"})
    flags(monkeypatch, tmp_path, "amx_bf16")
    claims = card.model_copy(update={"precision": "bfloat16"})
    checkpoint = dataclasses.replace(read_checkpoint(CardShelf(), "reference-grade"), card=claims)
    with pytest.raises(Exception, match="do not fit"):
        build(checkpoint, CPU)
