"""Weights are loaded only when they are the ones that the card names."""

import json
import pickle
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from jobs.cards import BUILT_IN, CardShelf
from jobs.errors import CheckpointMismatch, InvalidRequest
from worker.checkpoints import build, build_generating, load_pipeline, read_model
from worker.pipelines import attribute_reader
from worker.pipelines.base import TablePipeline, Wish

CPU = torch.device("cpu")


@pytest.fixture
def shelf(tmp_path: Path) -> CardShelf:
    shutil.copytree(BUILT_IN, tmp_path / "models")
    return CardShelf(tmp_path / "models")


def change_card(shelf: CardShelf, name: str, **fields: Any) -> None:
    path = shelf.folder / name / "model.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(card | fields), encoding="utf-8")


def replace_weights(shelf: CardShelf, content: bytes) -> None:
    """Put other weights in place, and let the card name them."""
    (shelf.folder / "reference-grade" / "weights.safetensors").write_bytes(content)
    change_card(shelf, "reference-grade", weights_sha256=sha256(content).hexdigest())


def weights(shelf: CardShelf) -> Path:
    return shelf.folder / "reference-grade" / "weights.safetensors"


RESTYLING = ["monge-kantorovich", "painter", "reference-grade", "reinhard", "unchanged"]
CHANGING = ["inpainting", "studio-from-edges", "super-resolution-2x", "super-resolution-4x"]
READING = ["studio-reader", "studio-sentences", "tag-reader"]
MAKING = {  # and words that each knows
    "studio-diffusion": {"kind": "mug", "colour": "teal"},
    "studio-tags": {"shape": "sticker", "paper": "teal"},
}


@pytest.mark.parametrize("name", [*CHANGING, *RESTYLING])
def test_every_built_in_model_loads_and_is_what_its_card_says(name: str) -> None:
    assert isinstance(load_pipeline(CardShelf(), name, CPU), TablePipeline) == CardShelf().get(name).tables


@pytest.mark.parametrize("name", MAKING)
def test_every_built_in_model_that_makes_pictures_makes_one_of_its_words(name: str) -> None:
    model = read_model(BUILT_IN / name)
    pipeline = build_generating(model, CPU)
    assert {key: list(words) for key, words in pipeline.attributes.items()} == model.card.config["attributes"]
    wishes = [Wish(attributes=MAKING[name], seed=seed) for seed in (1, 2)]
    made = pipeline.generate(wishes, model.card.complete({}))
    assert made.shape == (2, 3, pipeline.side_px, pipeline.side_px)
    assert float(made.float().std()) > 10  # it is no grey square
    with pytest.raises(CheckpointMismatch, match="not to restyle"):
        build(model, CPU)


@pytest.mark.parametrize(
    ("name", "reader", "attribute", "words"),
    [
        ("studio-diffusion", "studio-reader", "kind", ("mug", "chair", "cushion", "watch", "box", "lamp")),
        ("studio-diffusion", "studio-reader", "background", ("white", "sky", "slate", "sage", "butter", "lilac")),
        ("studio-tags", "tag-reader", "mark", ("hills", "leaf", "waves", "arches", "leaf", "hills")),
    ],
)
def test_what_a_built_in_model_makes_shows_what_was_asked_for(
    name: str, reader: str, attribute: str, words: tuple[str, ...]
) -> None:
    model, reading = read_model(BUILT_IN / name), read_model(BUILT_IN / reader)
    wishes = [Wish(attributes={attribute: word}, seed=seed) for seed, word in enumerate(words)]
    made = build_generating(model, CPU).generate(wishes, model.card.complete({}))
    read = attribute_reader.load(reading.card.config, reading.weights, CPU).read(made)[attribute]
    assert sum(found == word for found, word in zip(read, words, strict=True)) >= 4, read


def test_the_shelf_holds_the_models_that_are_named_here_and_their_files_are_small() -> None:
    assert sorted(CardShelf().cards) == sorted([*RESTYLING, *CHANGING, *MAKING, *READING])
    assert all(
        (BUILT_IN / name / "weights.safetensors").stat().st_size < 2.5e6 for name in [*CHANGING, *MAKING, *READING]
    )


def test_weights_that_are_not_the_cards_are_refused_with_both_digests(shelf: CardShelf) -> None:
    named = shelf.get("reference-grade").weights_sha256
    content = bytearray(weights(shelf).read_bytes())
    content[-1] ^= 1
    weights(shelf).write_bytes(content)
    with pytest.raises(CheckpointMismatch) as raised:
        load_pipeline(shelf, "reference-grade", CPU)
    assert str(named) in str(raised.value)
    assert sha256(content).hexdigest() in str(raised.value)


def test_missing_weights_are_named(shelf: CardShelf) -> None:
    weights(shelf).unlink()
    with pytest.raises(CheckpointMismatch, match=r"there is no .*weights\.safetensors"):
        load_pipeline(shelf, "reference-grade", CPU)


def test_a_pickle_is_never_opened(shelf: CardShelf, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    replace_weights(shelf, pickle.dumps(Trap()))
    with pytest.raises(CheckpointMismatch, match="not safetensors"):
        load_pipeline(shelf, "reference-grade", CPU)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("spoil", ["drop", "add", "reshape"])
def test_weights_that_do_not_fit_the_network_are_refused(shelf: CardShelf, spoil: str) -> None:
    tensors = load(weights(shelf).read_bytes())
    if spoil == "drop":
        tensors.pop("basis")
    elif spoil == "add":
        tensors["extra"] = torch.zeros(1)
    else:
        tensors["basis"] = tensors["basis"][:-1].contiguous()
    replace_weights(shelf, save(tensors))
    with pytest.raises(CheckpointMismatch, match="do not fit"):
        load_pipeline(shelf, "reference-grade", CPU)


def test_a_config_that_the_network_does_not_know_is_refused(shelf: CardShelf) -> None:
    change_card(shelf, "reference-grade", config={"colour": 3})
    with pytest.raises(CheckpointMismatch, match="do not fit"):
        load_pipeline(shelf, "reference-grade", CPU)


def test_an_architecture_that_this_worker_lacks_is_refused(shelf: CardShelf) -> None:
    change_card(shelf, "reinhard", architecture="sdxl")
    with pytest.raises(CheckpointMismatch, match=r"architecture sdxl; this worker knows .*reinhard"):
        load_pipeline(shelf, "reinhard", CPU)


def test_a_model_that_is_not_on_the_shelf_is_the_callers_mistake(shelf: CardShelf) -> None:
    with pytest.raises(InvalidRequest) as raised:
        load_pipeline(shelf, "nonesuch", CPU)
    assert raised.value.code == "unknown_model"
