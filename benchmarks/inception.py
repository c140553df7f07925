"""The network of the published FID, with weights that whoever measures has: features of pictures to compare sets by."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from worker.networks.inception import Inception

SOURCE = "https://github.com/mseitzer/pytorch-fid/releases, pt_inception-2015-12-05-6726825d.pth"
BATCH = 8  # pictures looked at together
_COUNTER = "num_batches_tracked"  # of batch normalisation: no weight, and not in every file


class InceptionUnusable(Exception):
    """The file is not there, or is not this network's."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}: give the weights that the FID is computed with, from {SOURCE}")


def read_inception(path: Path) -> Inception:
    """Return the network with the weights of a file, of which nothing is run.

    Raises:
        InceptionUnusable: there is no such file, or it holds something else.

    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InceptionUnusable(path, f"cannot be read ({error.strerror})") from error
    except (UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise InceptionUnusable(path, "is no file of weights alone") from error
    network = Inception()
    named = set(network.state_dict())
    weights = {name: value for name, value in found.items() if name in named} if isinstance(found, dict) else {}
    missing = sorted(name for name in named - weights.keys() if not name.endswith(_COUNTER))
    if missing:
        raise InceptionUnusable(path, f"lacks {len(missing)} of the network's tensors, such as {missing[0]}")
    try:
        network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise InceptionUnusable(path, "has tensors of other shapes") from error
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def inception_features(network: Inception, pictures: Tensor) -> Tensor:
    """Return what the network sees: uint8 [N, 3, h, w] -> float [N, 2048]."""
    return torch.cat([network(part / 255) for part in torch.split(pictures, BATCH)])
