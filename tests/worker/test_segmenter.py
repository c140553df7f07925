"""Masks from a segmentation model that a user brings: found as well as the network finds them, or refused."""

from __future__ import annotations

import importlib
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import masks as benchmark
from jobs.cards import CardShelf
from jobs.errors import CheckpointMismatch, ErrorCode, InvalidRequest, MaskRejected
from jobs.looks import SegmentedMask
from studio import Product, Rendering, View, render, sample_catalogue
from tests.segmenters import add_segmenter, network
from worker.checkpoints import load_pipeline, read_model
from worker.fitness import Unfit, check
from worker.images import Picture, PictureLimits
from worker.masks import mask_of
from worker.segmenter import Segmenter, load_segmenter, onnxruntime
from worker.settings import WorkerSettings

BOTTLE = Product(kind="bottle", colour="navy", material="plastic", view=View(elevation=9), background="white")
SOURCE = SegmentedMask(model="finder")


def finder(folder: Path, **given: Any) -> Segmenter:
    add_segmenter(folder, **given)
    return load_segmenter(CardShelf(folder), "finder")


def mask(segmenter: Segmenter, pixels: np.ndarray) -> np.ndarray:
    picture = Picture(pixels=pixels, alpha=None, source_format="png")
    return mask_of(picture, None, SOURCE, PictureLimits(), segmenter)


@pytest.fixture(scope="module")
def drawn() -> Rendering:
    return render(BOTTLE, width=120, height=150)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("activation", ["sigmoid", "none"])
def test_a_product_of_the_studio_is_found_as_the_card_says(
    tmp_path: Path, drawn: Rendering, layout: str, activation: str
) -> None:
    found = mask(finder(tmp_path, layout=layout, activation=activation), drawn.pixels)
    assert (found.shape, found.dtype) == ((150, 120), np.uint8)
    assert benchmark.overlap(found, drawn.mask) > 0.9
    assert found[75, 60] == 255
    assert found[2, 2] == 0
    assert len(np.unique(found)) > 20, "its edge is soft: there is no threshold"


def test_a_mask_follows_from_its_picture_alone_whoever_asks_meanwhile(tmp_path: Path) -> None:
    segmenter = finder(tmp_path)
    drawn = [np.random.default_rng(seed).integers(0, 255, (90, 70 + seed, 3), dtype=np.uint8) for seed in range(8)]
    alone = [segmenter.mask(pixels) for pixels in drawn]
    together: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda number=number: together.update({number: segmenter.mask(drawn[number])}))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(np.array_equal(together[number], alone[number]) for number in range(8))


def test_what_the_model_does_not_find_has_no_mask(tmp_path: Path) -> None:
    with pytest.raises(MaskRejected, match="what finder finds is empty") as refused:
        mask(finder(tmp_path), np.full((40, 40, 3), 250, np.uint8))
    assert refused.value.code == ErrorCode.MASK_UNUSABLE


def test_a_file_that_is_not_the_cards_is_refused(tmp_path: Path) -> None:
    folder = add_segmenter(tmp_path)
    (folder / "weights.onnx").write_bytes(network(activation="none"))
    with pytest.raises(CheckpointMismatch, match=r"weights\.onnx has sha256 .*; the card names "):
        load_segmenter(CardShelf(tmp_path), "finder")


def with_weights_elsewhere(folder: Path) -> bytes:
    """Return a network of which some weights lie in another file, which is there."""
    model = onnx.load_from_string(network())
    floor = numpy_helper.from_array(np.full((1, 1, 512, 512), -9, np.float32), "floor")
    (folder / "elsewhere.bin").write_bytes(floor.raw_data)
    floor.ClearField("raw_data")
    floor.data_location = TensorProto.EXTERNAL
    floor.external_data.add(key="location", value="elsewhere.bin")
    model.graph.initializer.append(floor)
    model.graph.node.append(helper.make_node("Max", ["logits", "floor"], ["above"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("above", TensorProto.FLOAT, [1, 1, None, None]))
    content: bytes = model.SerializeToString()
    return content


def with_two_channels() -> bytes:
    model = onnx.load_from_string(network())
    model.graph.node.append(helper.make_node("Concat", ["logits", "logits"], ["both"], axis=1))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("both", TensorProto.FLOAT, [1, 2, None, None]))
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize("kind", ["no network", "another file's weights", "two channels"])
def test_a_file_that_is_no_whole_network_of_one_mask_is_refused(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {
        "no network": b"\x80\x04\x95 a pickle, or whatever",
        "another file's weights": with_weights_elsewhere(tmp_path),
        "two channels": with_two_channels(),
    }[kind]
    add_segmenter(tmp_path / "models", content=content, side_px=512)
    with pytest.raises(CheckpointMismatch, match=r"finder: weights\.onnx and config do not fit"):
        load_segmenter(CardShelf(tmp_path / "models"), "finder")


@pytest.mark.parametrize("wrong", [{"side_px": 0}, {"std": [0, 1, 1]}, {"activation": "softmax"}, {"threshold": 0.5}])
def test_a_config_that_makes_no_sense_is_refused_with_its_card(tmp_path: Path, wrong: dict[str, Any]) -> None:
    folder = add_segmenter(tmp_path)
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (folder / "model.json").write_text(json.dumps(card | {"config": card["config"] | wrong}), encoding="utf-8")
    with pytest.raises(ValueError, match=next(iter(wrong))):
        _ = CardShelf(tmp_path).cards


def test_models_do_only_what_they_are_there_for(tmp_path: Path) -> None:
    folder = add_segmenter(tmp_path)
    with pytest.raises(CheckpointMismatch, match="finder is there to segment"):
        load_pipeline(CardShelf(tmp_path), "finder", None)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="reinhard is there to restyle"):
        load_segmenter(CardShelf(), "reinhard")
    with pytest.raises(CheckpointMismatch, match="not to restyle"):
        read_model(folder)


@pytest.fixture
def without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> Any:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    onnxruntime.cache_clear()
    yield
    onnxruntime.cache_clear()


def test_a_worker_without_the_extra_is_unfit_for_a_shelf_with_such_a_model(
    tmp_path: Path, without_onnxruntime: None
) -> None:
    add_segmenter(tmp_path / "models")
    settings = WorkerSettings(
        device="cpu", storage_url=f"file://{tmp_path}/own", memory_mb=256, models_dir=tmp_path / "models"
    )
    with pytest.raises(Unfit) as unfit:
        check(settings)
    [fault] = unfit.value.faults
    assert fault.startswith(f"RESTYLE_MODELS_DIR is '{tmp_path}/models', and finder is in it: ")
    assert fault.endswith("is not installed: install restyle[segmentation], or take the model away")


def test_the_benchmark_measures_a_given_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = sample_catalogue()[:2]
    monkeypatch.setattr(benchmark, "sample_catalogue", lambda: few)
    figures = benchmark.measure(0.15, finder(tmp_path).mask)
    assert (figures["pictures"], figures["without_mask"]) == (2, 0)
    assert figures["iou_worst"] > 0.5
