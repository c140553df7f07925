"""How like real pictures made ones are, as a set, while a network learns: without a network that would judge them.

`worker.quality.distribution` says it better, with features of a network that knows such pictures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_SIDE_PX = 8  # pictures are compared at this size: what stands where, in which colour
_DIRECTIONS = 128


def made_figures(made: Tensor, real: Tensor) -> dict[str, float]:
    """Return the figures of as many pictures of both kinds, float [N, 3, side, side] in [0, 1].

    held_out_likeness: minus the sliced Wasserstein distance (Rabin et al. 2012) of pictures at 8 px.
    held_out_variety: how far apart two made pictures are in the mean, as a share of how far apart two real ones are:
        near 0 where a network makes but one picture.
    """
    flat = [F.adaptive_avg_pool2d(each.float().clamp(0, 1), _SIDE_PX).flatten(1) for each in (made, real)]
    directions = torch.randn(flat[0].shape[1], _DIRECTIONS, generator=torch.Generator().manual_seed(0))
    directions = F.normalize(directions, dim=0).to(made.device)
    along = [(each @ directions).sort(0).values for each in flat]
    apart = [torch.pdist(each).mean() for each in flat]
    return {
        "held_out_likeness": -float((along[0] - along[1]).abs().mean()),
        "held_out_variety": float(apart[0] / apart[1]),
    }
