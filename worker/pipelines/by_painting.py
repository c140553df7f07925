"""Runs pipelines that paint a small copy of each picture: what was changed there is brought to the picture's own size.

Every picture is looked at and painted by itself, inside its own region of the batch and in one piece, so that neither
its company nor the padding nor strips can be seen in its bytes. At full size a picture keeps its own fine detail: what
is added to it is the enlarged change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from worker.networks.protected_colours import ProtectedColour, free_of
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_table import check, mix
from worker.pipelines.resizing import Enlarged, smaller, strips

Paint = Callable[[Tensor], Tensor]
"""What a small picture becomes, float [1, 3, h, w] in [0, 1] both, at full strength."""


def run_by_painting(batch: Batch, paint: Paint, parameters: Parameters, *, side: int, device: torch.device) -> Tensor:
    """Paint each picture with `strength`, but for what the batch protects.

    side: longest side, in pixels, of the small copies. device: where they are painted; the batch may lie elsewhere,
    and so does the result, then. Returns uint8 [N, 3, H, W]; the padding is as it came.

    Raises:
        ValueError: the batch is not what its contract says.

    """
    check(batch)
    strength = float(parameters["strength"])
    result = batch.images.clone(memory_format=torch.contiguous_format)
    for number, (height, width) in enumerate(batch.sizes):
        picture = batch.images[number, :, :height, :width]
        mask = None if batch.masks is None else batch.masks[number, :, :height, :width]
        outside = strength if mask is None or batch.background_strength is None else batch.background_strength
        if strength == 0 and outside == 0:
            continue
        small = smaller(picture, side, device)
        change = Enlarged((paint(small) - small)[0] * 255, height, width)
        for top, end in strips(height, width):
            part = picture[:, top:end].to(device)
            changed = _spared(change.rows(top, end), part, batch.protected)
            found = _added(part, changed, strength)
            if mask is not None and outside != strength:
                found = mix(found, _added(part, changed, outside), mask[:, top:end].to(device))
            result[number, :, top:end, :width] = found
    return result


def _spared(change: Tensor, picture: Tensor, protected: Sequence[ProtectedColour]) -> Tensor:
    """Take the change away where a picture shows protected colours."""
    return change * free_of(picture, protected) if protected else change


def _added(picture: Tensor, change: Tensor, strength: float) -> Tensor:
    return (picture + change * strength).round().clamp(0, 255).to(torch.uint8)
