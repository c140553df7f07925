"""Sentences in the place of attributes: what the built-in reader makes of them, and what becomes of the wishes."""

from __future__ import annotations

import json
import logging
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.generate_sentences import captions, read_rightly
from benchmarks.written_sentences import WRITTEN
from jobs.cards import BUILT_IN, Card, CardShelf
from jobs.errors import CheckpointMismatch, TextUnclear
from jobs.states import ItemState
from jobs.wishes import wish_url
from studio import VOCABULARY
from tests.worker.test_operations import SIDE, Drawn, bench, claimed, outputs, run  # noqa: F401  # a fixture
from tests.worker.test_stream import SIZE, Bench
from worker.checkpoints import FORMULAS, read_model
from worker.networks.sentence_reader import SentenceReader as Network
from worker.pipelines import token_vectors as vectors_file
from worker.pipelines.base import Wish
from worker.pipelines.sentence_reader import SentenceReader
from worker.pipelines.token_vectors import NAME, TokenVectors
from worker.sentences import Sentences, SentencesMissing, load_reader, token_vectors
from worker.training.__main__ import main

READER = "studio-sentences"


def card_of(attributes: dict[str, Any], name: str = "maker") -> Card:
    given = {
        "name": name,
        "version": "1",
        "operation": "generate",
        "architecture": "gan",
        "summary": "",
        "licence": "MIT",
    }
    return Card.model_validate({**given, "config": {"side_px": SIDE, "attributes": attributes}})


MAKER = card_of({"kind": ["mug", "vase"], "colour": ["teal", "navy"], "background": ["white", "sage"]})


@pytest.fixture(scope="module")
def vectors() -> TokenVectors:
    return token_vectors()


@pytest.fixture(scope="module")
def reader(vectors: TokenVectors) -> SentenceReader:
    return load_reader(read_model(BUILT_IN / READER), vectors)


@pytest.fixture(scope="module")
def sentences() -> Sentences:
    return Sentences(CardShelf())


# --- reading -------------------------------------------------------------------------------------------


def test_vectors_are_read_from_the_package_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nobody asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    handlers = list(logging.getLogger().handlers)
    tokens, there = TokenVectors().of(["a teal mug", ""])
    assert tokens.shape == (2, int(there[0].sum()), 256)
    assert there.any(1).tolist() == [True, False]
    assert not tokens[1].any()
    assert "wordllama" not in sys.modules
    assert logging.getLogger().handlers == handlers


def test_a_sentence_is_read_the_same_beside_a_longer_one(vectors: TokenVectors) -> None:
    torch.manual_seed(0)
    network = Network(vectors=NAME, width=16, attributes={"kind": ["cup", "bag"], "colour": ["red", "green"]}).eval()
    with torch.inference_mode():
        alone, beside = (network(*vectors.of(texts)) for texts in (["a cup"], ["a cup", "a bag, " * 9]))
    for one, two in zip(alone, beside, strict=True):
        assert torch.allclose(one[0], two[0], atol=1e-5)


def test_what_has_a_colour_is_told_from_what_it_stands_on(reader: SentenceReader) -> None:
    assert reader.read("a sage mug on a blush backdrop") == {"kind": "mug", "colour": "sage", "background": "blush"}
    assert reader.read("a blush mug on a sage backdrop") == {"kind": "mug", "colour": "blush", "background": "sage"}
    assert reader.read("on sage: a MUG in Blush!") == {"kind": "mug", "colour": "blush", "background": "sage"}
    assert reader.read("lit from the left") == {"light": "soft-left"}
    assert reader.read("seen from the left") == {"view": "left"}
    assert reader.read("a mug without stripes, but not white") == {"kind": "mug"}
    assert reader.read("") == {}


def test_captions_and_sentences_of_a_person_are_read_as_well_as_the_docs_say(reader: SentenceReader) -> None:
    of_captions, written = (read_rightly(reader, said) for said in (captions(150), WRITTEN))
    assert of_captions["accuracy"] > 0.99
    assert written["said"] > 0.95
    assert written["not_said"] > 0.98


def test_the_reader_knows_the_words_of_the_studio_and_its_file_is_small(reader: SentenceReader) -> None:
    assert {name: sorted(words) for name, words in reader.attributes.items()} == {
        name: sorted(words) for name, words in VOCABULARY.items()
    }
    assert (BUILT_IN / READER / "weights.safetensors").stat().st_size < 300_000
    with pytest.raises(CheckpointMismatch, match="studio-reader reads no sentences"):
        load_reader(read_model(BUILT_IN / "studio-reader"), token_vectors())


# --- wishes --------------------------------------------------------------------------------------------


def test_what_is_said_by_attribute_counts_more_than_the_sentence(sentences: Sentences) -> None:
    wish = Wish(attributes={"text": "a teal mug from above", "colour": "navy"}, seed=7)
    assert sentences.understood(wish, MAKER) == Wish(attributes={"kind": "mug", "colour": "navy"}, seed=7)


def test_other_wishes_stay_as_they_are(sentences: Sentences) -> None:
    for wish, card in (
        (Wish(attributes={"colour": "navy"}, seed=7), MAKER),
        (Wish(attributes={"text": "a red mug"}, seed=7), card_of({"kind": ["mug"], "text": []})),
        (Wish(attributes={"text": "a red mug"}, seed=7), card_of({})),
    ):
        assert sentences.understood(wish, card) is wish


@pytest.mark.parametrize(
    ("text", "card", "message"),
    [
        (
            "best price in town",
            MAKER,
            r"'best price in town' names nothing that maker knows. It knows kind: mug, vase; c",
        ),
        ("seen from above", MAKER, "names nothing that maker knows"),
        ("a teal shoe", MAKER, "'a teal shoe' asks for the kind shoe; maker has mug, vase"),
        (
            "a mug",
            card_of({"flavour": ["sweet", "sour"]}),
            "names nothing that maker knows. It knows flavour: sweet, sour",
        ),
    ],
)
def test_sentences_that_no_picture_follows_from_are_told_with_what_is_known(
    sentences: Sentences, text: str, card: Card, message: str
) -> None:
    with pytest.raises(TextUnclear, match=message):
        sentences.understood(Wish(attributes={"text": text}, seed=1), card)


def test_of_several_readers_the_one_that_knows_most_words_is_asked(tmp_path: Path) -> None:
    (tmp_path / READER).symlink_to(BUILT_IN / READER)
    card = json.loads((BUILT_IN / READER / "model.json").read_text())
    card |= {"name": "ours", "config": {"vectors": NAME, "width": 8, "attributes": {"kind": ["mug", "kayak"]}}}
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "model.json").write_text(json.dumps(card))  # whose weights are missing: it fails once asked
    several = Sentences(CardShelf(tmp_path))
    assert several.words("a mug", MAKER) == {"kind": "mug"}
    with pytest.raises(CheckpointMismatch, match="ours 1: there is no"):
        several.words("a kayak", card_of({"kind": ["kayak"]}))


@pytest.mark.parametrize("missing", ["package", "version"])
def test_without_the_extra_the_error_names_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "package":
        monkeypatch.setattr(vectors_file, "PACKAGE", "no_such_package")
    else:
        monkeypatch.setattr(vectors_file, "SHA256", "0" * 64)
    with pytest.raises(SentencesMissing, match=r"install restyle\[sentences\]"):
        Sentences(CardShelf()).words("a mug", MAKER)


class Worded(Drawn):
    """Tints its noise by two of the studio's colours."""

    attributes = {"colour": ("teal", "navy")}  # noqa: RUF012  # of the protocol, and never changed


def test_items_with_sentences_become_pictures_and_one_that_is_not_understood_costs_itself(
    bench: Bench,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FORMULAS, "generate", lambda _device: Worded())
    shelf = CardShelf(tmp_path / "models")
    (shelf.folder / "generate").mkdir(parents=True)
    (shelf.folder / READER).symlink_to(BUILT_IN / READER)
    card = card_of({"colour": ["teal", "navy"]}, "generate").model_dump(mode="json") | {"architecture": "generate"}
    (shelf.folder / "generate" / "model.json").write_text(json.dumps(card))
    wishes = {number: wish_url({"text": "something in navy"}, seed=1) for number in range(SIZE)}
    wishes[0] = wish_url({"text": "teal, please"}, seed=1)
    wishes[1] = wish_url({"text": "something in navy", "colour": "teal"}, seed=1)
    wishes[2] = wish_url({"text": "free delivery"}, seed=1)
    results = run(bench, shelf, claimed(bench, "generate", urls=wishes))
    unclear = results.pop(2)
    assert (unclear.state, unclear.error_code) == (ItemState.FAILED, "text_unclear")
    assert "'free delivery' names nothing that generate knows" in (unclear.error_message or "")
    assert {row.state for row in results.values()} == {ItemState.SUCCEEDED}
    made = outputs(bench)
    assert (made[0] == made[1]).all()
    assert (made[0][..., 0] == 255).all()
    assert all((made[number][..., 1] == 255).all() for number in range(3, SIZE))
    assert made[3].shape == (SIDE, SIDE, 3)


def test_what_was_understood_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    text = "White mug, teal stripes, on sage, seen from above"  # as in docs/generating.md
    assert main(["read", READER, text]) == 0
    words = {"kind": "mug", "colour": "white", "pattern": "stripes", "view": "above", "background": "sage"}
    assert capsys.readouterr().out == json.dumps(words) + "\n"
    assert main(["read", "studio-reader", text]) == 2
    assert "studio-reader reads no sentences" in capsys.readouterr().err
