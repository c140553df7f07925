"""Paints one picture by changing its pixels until the teacher is content: the slow reference of what a network learns.

Gatys, Ecker & Bethge 2016, "Image Style Transfer Using Convolutional Neural Networks", CVPR, equation 7.
Departures: Adam takes the place of L-BFGS, so that each step costs the same and colours can be kept within bounds;
it starts from the photo; each layer's distance is a share of its own length (`worker.training.perception`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worker.networks.vgg import VggFeatures
from worker.training.perception import apart, gram, total_variation

_CONTENT_LAYER = "relu4_2"  # section 3
_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
_SMOOTH = 0.5  # of total variation; chosen: pixels alone would be noisy
_RATE = 0.02  # of the range of colours, by which a step changes a pixel at most


def paint_slowly(
    photo: Tensor,
    painting: Tensor,
    teacher: VggFeatures,
    *,
    iterations: int,
    style_weight: float,
    report: Callable[[int, float, float], None] = lambda _done, _content, _style: None,
) -> Tensor:
    """Return the photo in the painting's manner, float [1, 3, h, w] in [0, 1] on the teacher's device.

    photo, painting: float [1, 3, h, w] in [0, 1], of any sizes. report: is told after each iteration how many are
    done, and how far content and style were before it.
    """
    with torch.no_grad():
        shown = teacher(photo, (_CONTENT_LAYER,))[_CONTENT_LAYER]
        wanted = {layer: gram(values) for layer, values in teacher(painting, _STYLE_LAYERS).items()}
    painted = photo.clone().requires_grad_()
    optimiser = torch.optim.Adam([painted], lr=_RATE)
    for done in range(1, iterations + 1):
        found = teacher(painted, (*_STYLE_LAYERS, _CONTENT_LAYER))
        content = apart(found[_CONTENT_LAYER], shown).mean()
        style = torch.stack([apart(gram(found[layer]), wanted[layer]) for layer in _STYLE_LAYERS]).mean()
        optimiser.zero_grad()
        loss = content + style_weight * style + _SMOOTH * total_variation(painted)  # equation 7
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            painted.clamp_(0, 1)
        report(done, content.item(), style.item())
    return painted.detach()
