"""A tiny segmentation model as a user would bring it: a card, and an ONNX file that finds what is darker than paper."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LUMA = np.array([0.3, 0.6, 0.1], np.float32)
DARK, STEEP = 0.55, 40.0  # what has less luma is product, and how soon it is
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CARD = {
    "version": "1",
    "operation": "segment",
    "architecture": "onnx",
    "summary": "Finds what is darker than paper.",
    "licence": "MIT",
}


def network(*, layout: str = "nchw", activation: str = "sigmoid") -> bytes:
    """Return the file of a network of one convolution; what `activation` does not do outside, it does itself."""
    weights = (-STEEP * LUMA * np.float32(STD)).reshape(1, 3, 1, 1).astype(np.float32)
    bias = np.array([STEEP * (DARK - float(LUMA @ np.float32(MEAN)))], np.float32)
    given, found = "picture", "logits"
    nodes = []
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [given], ["turned"], perm=[0, 3, 1, 2]))
        given = "turned"
    nodes.append(helper.make_node("Conv", [given, "weights", "bias"], [found]))
    if activation == "none":
        nodes.append(helper.make_node("Sigmoid", [found], ["sure"]))
        found = "sure"
    float_of = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "dark",
        [helper.make_tensor_value_info("picture", float_of, [1, None, None, None])],
        [helper.make_tensor_value_info(found, float_of, [1, 1, None, None])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    # Both older than this package's own: onnxruntime may be older than it.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def add_segmenter(models: Path, name: str = "finder", *, content: bytes | None = None, **config: Any) -> Path:
    """Put a model below a folder of models; return its own folder."""
    config = {"side_px": 128, "mean": MEAN, "std": STD, "layout": "nchw", "activation": "sigmoid"} | config
    if content is None:
        content = network(layout=config["layout"], activation=config["activation"])
    folder = models / name
    folder.mkdir(parents=True)
    (folder / "weights.onnx").write_bytes(content)
    card = CARD | {"name": name, "config": config, "weights_sha256": hashlib.sha256(content).hexdigest()}
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")
    return folder
