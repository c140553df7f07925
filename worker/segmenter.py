"""Finds products with a segmentation model that a user has brought: an ONNX file and its card.

It runs through onnxruntime on the CPU, whatever the device: one picture at a time, on the thread that asks, so that a
mask does not depend on what else is under way.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jobs.cards import Card, CardShelf
from jobs.errors import CheckpointMismatch, ErrorCode, JobsError, MaskRejected
from worker.checkpoints import read_network

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

_ONLY_ERRORS = 3  # of what onnxruntime would write to stderr
_STEEP = 60.0  # beyond it a sigmoid is 0 or 1 in any case, and its exponential need not overflow


class SegmentationMissing(JobsError):
    """What runs segmentation models is not installed."""

    def __init__(self) -> None:
        super().__init__("what runs segmentation models is not installed: install restyle[segmentation]")


class Segmenter:
    """A model that is ready to find products. Safe to share between threads."""

    def __init__(self, card: Card, network: bytes) -> None:
        """Build it, and try it once.

        Raises:
            SegmentationMissing: the extra `segmentation` is not installed.
            CheckpointMismatch: the network is none that onnxruntime runs, or does not do what the card says.

        """
        self._name = card.name
        self._config = card.segmentation
        try:
            self._session = _session(network)
            self._find(np.zeros((2, 2, 3), np.uint8))
        except SegmentationMissing:
            raise
        except Exception as error:  # whatever onnxruntime makes of a file
            raise CheckpointMismatch(f"{card.name}: {card.weights_file} and config do not fit: {error}") from error

    def mask(self, pixels: Pixels) -> Pixels:
        """Return the product's mask, uint8 [H, W], of a picture uint8 [H, W, 3].

        Raises:
            MaskRejected: the network failed on this picture.

        """
        try:
            found = self._find(pixels)
        except Exception as error:
            raise MaskRejected(ErrorCode.MODEL_FAILED, f"{self._name} failed on this picture: {error}") from error
        height, width = pixels.shape[:2]
        whole = Image.fromarray(found).resize((width, height), Image.Resampling.BILINEAR)
        return (np.asarray(whole) * 255 + np.float32(0.5)).astype(np.uint8)

    def _find(self, pixels: Pixels) -> Floats:
        """Return how sure the network is of the product at each place of its own square, in [0, 1]."""
        config = self._config
        small = Image.fromarray(pixels).resize((config.side_px, config.side_px), Image.Resampling.BILINEAR)
        mean, std = (np.array(each, np.float32) for each in (config.mean, config.std))
        values = (np.asarray(small, np.float32) / np.float32(255) - mean) / std
        values = values.transpose(2, 0, 1) if config.layout == "nchw" else values
        (given,), (answer, *_) = self._session.get_inputs(), self._session.get_outputs()
        (found,) = self._session.run([answer.name], {given.name: np.ascontiguousarray(values[None])})
        found = np.asarray(found, np.float32).squeeze()
        if found.ndim != 2:
            raise ValueError(f"it answers {list(found.shape)}, not one value for each place")
        if config.activation == "sigmoid":
            found = 1 / (1 + np.exp(-found.clip(-_STEEP, _STEEP)))
        sure: Floats = np.nan_to_num(found).clip(0, 1)
        return sure


def load_segmenter(shelf: CardShelf, name: str) -> Segmenter:
    """Return a model of the shelf, ready to find products. Raises as `read_network` and `Segmenter` do."""
    return Segmenter(shelf.get(name, operation="segment"), read_network(shelf, name))


@cache
def onnxruntime() -> Any:
    """Return the module.

    Raises:
        SegmentationMissing: it is not installed.

    """
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise SegmentationMissing from error


def _session(network: bytes) -> Any:
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_ERRORS
    # A file may say that its weights lie in others. The card speaks for one file only: there are no others here.
    nowhere = os.path.join(tempfile.gettempdir(), "restyle-has-no-such-folder")  # noqa: PTH118
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", nowhere)
    return runtime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
