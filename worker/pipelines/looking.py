"""What a pipeline looks at before it decides: a thumbnail, or a sample of the colours. Never the padding.

Both are made from a contiguous copy of a fixed choice of the picture's own pixels, so that not even the order of a
sum depends on the batch that the picture rode in.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_THUMBNAIL_FROM_PX = 384  # shorter side that is kept to average a thumbnail from: four or more pixels for one of 96
_SAMPLE_PX = 256  # shorter side that is kept for statistics; chosen: they no longer move with more


def thumbnail(picture: Tensor, side: int, device: torch.device) -> Tensor:
    """Shrink a picture of any size into a square: uint8 [3, h, w] -> float [1, 3, side, side] in [0, 1] on the device.

    The picture may lie elsewhere.
    """
    return F.adaptive_avg_pool2d(_thinned(picture, _THUMBNAIL_FROM_PX, device).float() / 255, side)[None]


def sample_colours(picture: Tensor, device: torch.device) -> Tensor:
    """Return an even choice of the picture's colours: uint8 [3, h, w] -> float64 [P, 3] in [0, 1] on the device.

    The picture may lie elsewhere.
    """
    return (_thinned(picture, _SAMPLE_PX, device).double() / 255).flatten(1).T


def _thinned(picture: Tensor, side: int, device: torch.device) -> Tensor:
    """Keep every n-th pixel of every n-th row, as many as leave the shorter side at least `side` long."""
    step = max(1, min(picture.shape[1:]) // side)
    return picture[:, ::step, ::step].contiguous().to(device)
