"""The digest of what computes pictures: equal where bytes are equal, another where they may differ."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from jobs.cards import CardShelf
from worker.engine import Engine, engine_of
from worker.images.versions import versions

CPU = torch.device("cpu")


def engine(**changes: object) -> Engine:
    return dataclasses.replace(engine_of(CPU, CardShelf().get("reference-grade")), **changes)  # type: ignore[arg-type]


def test_an_engine_names_its_model_and_what_torch_makes_of_the_processor() -> None:
    card, facts = CardShelf().get("reference-grade"), engine().facts
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["model"], facts["model_version"]) == (card.name, card.version)
    assert facts["weights_sha256"] == card.weights_sha256
    assert (facts["dtype"], facts["compile_mode"], facts["torch"]) == ("float32", None, torch.__version__)
    assert facts["device"]
    assert facts["instructions"]
    assert facts["codecs"]["pillow"]


def test_the_digest_is_short_and_the_same_every_time() -> None:
    assert engine().digest == engine().digest
    assert len(engine().digest) == 16
    int(engine().digest, 16)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Engine)])
def test_each_fact_is_in_the_digest(name: str) -> None:
    other = {"pillow": "0"} if name == "codecs" else "another"
    assert engine(**{name: other}).digest != engine().digest


def test_the_codecs_have_versions() -> None:
    assert {"pillow", "webp", "avif"} <= versions().keys()
