"""The product's dominant colours, and how far they have moved."""

from __future__ import annotations

import torch
from torch import Tensor

from worker.networks.colour import srgb_to_lab
from worker.quality.ciede2000 import ciede2000
from worker.quality.looking import thinned

COLOURS = 5  # chosen: a product has few; with more, one colour's light and shade become two
_SAMPLE_PX = 64  # square of so many pixels is looked at
_ROUNDS = 3  # chosen for their cost: it is done for every picture


def colour_shift(original: Tensor, restyled: Tensor, mask: Tensor | None = None) -> float:
    """Return how far the dominant colours inside the mask have moved: the mean ΔE2000, each by its share.

    The colours are the original's; each is compared with the mean colour that its very pixels have now. 0 where they
    stayed; about 1 can just be seen; noise, blur and texture hardly count.
    """
    small = [thinned(each, _SAMPLE_PX) for each in (original, restyled)]
    before, after = (srgb_to_lab(each.flatten(1).T / 255) for each in small)
    if mask is not None:
        product = thinned(mask, _SAMPLE_PX).flatten() >= 128
        before, after = before[product], after[product]
    return lab_shift(before, after)


def lab_shift(before: Tensor, after: Tensor) -> float:
    """Return the same of pixels in CIELAB, [n, 3] each; 0 where there are none."""
    if not len(before):
        return 0.0
    member = nearest(before, dominant_colours(before))
    counts = member.sum(0)
    was, now = (member.T @ colours / counts[:, None].clamp(min=1) for colours in (before, after))
    return float((ciede2000(was, now) * counts).sum() / counts.sum())


def dominant_colours(colours: Tensor) -> Tensor:
    """Return at most five colours that stand for all, by k-means: float [n, 3] in CIELAB -> [k, 3].

    Lloyd 1982, "Least squares quantization in PCM"; nothing in it is random. It starts from the mean and, one after
    the other, the colour that is farthest from those that are there.
    """
    chosen = [colours.mean(0)]
    away = (colours - chosen[0]).square().sum(1)
    for _ in range(min(COLOURS, len(colours)) - 1):
        chosen.append(colours[away.argmax()])
        away = torch.minimum(away, (colours - chosen[-1]).square().sum(1))
    centres = torch.stack(chosen)
    for _ in range(_ROUNDS):
        member = nearest(colours, centres)
        counts = member.sum(0)[:, None]
        centres = torch.where(counts > 0, member.T @ colours / counts.clamp(min=1), centres)
    return centres


def nearest(colours: Tensor, centres: Tensor) -> Tensor:
    """Return which centre each colour is nearest to: float [n, k], 1 there and 0 elsewhere."""
    # Of |x − c|² = |x|² − 2 x·c + |c|², the first part is the same for all centres.
    places = torch.addmm(centres.square().sum(1), colours, centres.T, alpha=-2).argmin(1)
    return torch.zeros(len(colours), len(centres), dtype=colours.dtype).scatter_(1, places[:, None], 1)
