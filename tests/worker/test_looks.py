"""Looks by rules, through the whole stream: one shard, one claim, several looks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.cards import CardShelf
from jobs.claims import ClaimedStyle
from jobs.database import Database
from jobs.recipes import Recipe
from jobs.states import ItemState
from jobs.storage import Storages
from tests import pictures
from tests.worker.test_stream import SIZE, Bench
from worker.held import HeldLease
from worker.images import PictureLimits
from worker.model_cache import ModelCache
from worker.prepared import Prepared

RULES: list[dict[str, Any]] = [
    {"when": {"season": "autumn"}, "style": "autumn"},
    {"when": {"season": "winter"}, "style": "winter", "parameters": {"strength": 0.5}},
]


@pytest.fixture
def bench(sqlite_url: str, tmp_path: Path) -> Iterator[Bench]:
    database = Database(sqlite_url)
    yield Bench(database, tmp_path)
    database.close()


def recipe(style: str = "plain", strength: float = 1.0, **members: Any) -> Recipe:
    parameters = CardShelf().get("reinhard").complete({"strength": strength})
    given = {"model": "reinhard", "style": style, "format": "png", "parameters": parameters}
    return Recipe.model_validate(given | members)


def run(bench: Bench, wanted: Recipe, rule_nos: dict[int, int | None]) -> tuple[Prepared, dict[int, bytes]]:
    """Run a job's claim; return what was prepared for it, and the files that it made."""
    claim = bench.claim()
    styles = {}
    for number, name in enumerate(("plain", "autumn", "winter")):
        (bench.folder / f"{name}.png").write_bytes(pictures.png(50 + number))
        styles[name] = ClaimedStyle((f"file://{bench.folder}/{name}.png",), (1.0,))
    items = tuple(dataclasses.replace(item, rule_no=rule_nos.get(item.item_no)) for item in claim.items)
    claim = dataclasses.replace(claim, recipe=wanted, recipe_fingerprint=f"of {wanted}", styles=styles, items=items)
    models = ModelCache(CardShelf(), torch.device("cpu"), Storages(), PictureLimits(), memory_bytes=64 << 20)
    prepared = models.prepare(claim)
    assert models.prepare(claim) is prepared
    held = HeldLease(claim)
    bench.settler.open(held)
    bench.stream.feed(held, prepared, claim.items)
    assert bench.settler.wait_until_idle(60)
    assert {row.state for row in bench.results(claim).values()} == {ItemState.SUCCEEDED}
    return prepared, bench.outputs()


def test_each_item_gets_the_bytes_that_a_job_of_its_look_alone_would_give_it(bench: Bench) -> None:
    rule_nos = {number: (None, 0, 1)[number % 3] for number in range(SIZE)}
    prepared, mixed = run(bench, recipe(rules=RULES), rule_nos)
    alone = [run(bench, recipe(*look), {})[1] for look in (("plain",), ("autumn",), ("winter", 0.5))]
    assert mixed == {number: alone[number % 3][number] for number in range(SIZE)}
    assert len({files[0] for files in alone}) == 3
    assert [look.palette is not None for look in (prepared, *prepared.looks)] == [True] * 3
    assert len({float(look.palette.sum()) for look in (prepared, *prepared.looks) if look.palette is not None}) == 3
