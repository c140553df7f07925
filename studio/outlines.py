"""A line drawing of a product: where it ends, where one part ends, where it folds, where it hides itself.

Drawn from geometry alone: what is painted on a surface, and the light, leave no line.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.hits import Hits

FOLD = 0.72  # cosine between the true normals of neighbouring pixels below which there is a fold: 44 degrees
HIDDEN = 2.5  # pixels by which both surfaces miss their neighbour before one hides the other; chosen by eye


def outlines(index: NDArray[np.intp], hits: Hits, pixel: float) -> NDArray[np.uint8]:
    """Draw lines [H, W], 255 or 0, one pixel wide, on the product's side of each border.

    `index` [H, W] says which hit belongs to a pixel, -1 for none; `pixel` is a pixel's width at distance 1.
    """
    lines = np.zeros(index.shape, bool)
    for first, second in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1, :], np.s_[1:, :])):
        ours, theirs = index[first], index[second]
        on_first, on_second = ours >= 0, theirs >= 0
        lines[first] |= on_first & ~on_second
        lines[second] |= on_second & ~on_first
        both = np.nonzero(on_first & on_second)
        nearer_first, border = _border(hits, ours[both], theirs[both], pixel)
        rows, columns = both
        down, across = (0, 1) if first == np.s_[:, :-1] else (1, 0)
        lines[rows[border & nearer_first], columns[border & nearer_first]] = True
        lines[rows[border & ~nearer_first] + down, columns[border & ~nearer_first] + across] = True
    # The picture's frame ends a product too.
    for side in (np.s_[0, :], np.s_[-1, :], np.s_[:, 0], np.s_[:, -1]):
        lines[side] |= index[side] >= 0
    return lines.astype(np.uint8) * np.uint8(255)


def _border(
    hits: Hits, ours: NDArray[np.intp], theirs: NDArray[np.intp], pixel: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of pairs of neighbouring hits: (the first is nearer, a border runs between them)."""
    here, there = hits.slopes[:, ours], hits.slopes[:, theirs]
    gap = hits.points[:, theirs] - hits.points[:, ours]
    off = np.minimum(np.abs((gap * here).sum(0)), np.abs((gap * there).sum(0)))
    first, second = hits.distance[ours], hits.distance[theirs]
    allowed = np.float32(HIDDEN * pixel) * np.minimum(first, second)
    border = hits.part[ours] != hits.part[theirs]
    border |= (here * there).sum(0) < FOLD
    border |= off > allowed
    # Where parts touch, neither is nearer: the line stays on one of them.
    touching = np.abs(first - second) < allowed
    return np.where(touching, hits.part[ours] <= hits.part[theirs], first < second), border
