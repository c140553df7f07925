"""Turned shapes (mugs, vases, bottles): a drawn outline, spun about the vertical axis.

The outline's distance field is computed once on a grid and read back by bilinear interpolation: one lookup
costs the same however many points the outline has.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np

from studio.fields import Field, Floats, hypot

Outline = tuple[tuple[float, float], ...]  # (radius, height) from the axis at the bottom to the axis at the end

CELL = 0.01  # grid spacing, chosen: bilinear error near a rim of radius 0.025 stays under a fifth of a pixel
MARGIN = 0.2  # how far the grid reaches beyond the outline


def curve(points: list[tuple[float, float]], steps: int = 14) -> Outline:
    """Draw a smooth line through the points (Catmull-Rom); a point given twice is a corner."""
    knots = np.array([points[0], *points, points[-1]], np.float64)
    drawn: list[tuple[float, float]] = []
    for a, b, c, d in zip(knots[:-3], knots[1:-2], knots[2:-1], knots[3:], strict=True):
        if np.allclose(b, c):
            continue
        t = np.linspace(0, 1, steps, endpoint=False)[:, None]
        spans = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
        drawn += [(float(r), float(y)) for r, y in spans / 2]
    return (*drawn, points[-1])


def vessel(outside: Outline, *, wall: float, floor: float) -> Outline:
    """Hollow an outline: follow it up, round its rim, and come down inside at `wall` to a floor at
    `floor`.
    """
    rim_radius, top = outside[-1]
    angles = np.linspace(0, np.pi, 9)[1:-1]
    centre, half = rim_radius - wall / 2, wall / 2
    rim = [(centre + half * float(np.cos(a)), top + half * float(np.sin(a))) for a in angles]
    inside = [(max(r - wall, 0.0), y) for r, y in reversed(outside) if y > floor + wall * 0.6]
    last = inside[-1]
    corner = [(max(last[0] - wall * 0.15, 0), floor + wall * 0.25), (max(last[0] - wall * 0.6, 0), floor)]
    return (*outside, *rim, *inside, *corner, (0.0, floor))


def spun(outline: Outline) -> Field:
    """The solid that an outline encloses when it is spun about the vertical axis."""
    table, lowest = _table(outline)
    rows, columns = table.shape
    flat = table.ravel()

    limit_u, limit_v = np.float32(columns - 1.001), np.float32(rows - 1.001)

    def field(points: Floats) -> Floats:
        across = hypot(points[0], points[2]) * np.float32(1 / CELL)
        up = (points[1] - np.float32(lowest)) * np.float32(1 / CELL)
        u, v = np.minimum(across, limit_u), np.clip(up, 0, limit_v)
        column, row = u.astype(np.intp), v.astype(np.intp)
        share_u, share_v = u - column.astype(np.float32), v - row.astype(np.float32)
        corner = row * columns + column
        left, right = flat.take(corner), flat.take(corner + 1)
        near = left + (right - left) * share_u
        corner += columns
        left, right = flat.take(corner), flat.take(corner + 1)
        near += (left + (right - left) * share_u - near) * share_v
        if (u == across).all() and (v == up).all():
            return np.asarray(near)
        # Off the grid: the shape lies within it, and it is convex, so the angle at its nearest point is
        # obtuse and this never overshoots.
        beyond = hypot(across - u, up - v) * np.float32(CELL)
        return np.where(beyond > 0, hypot(near, beyond), near)

    return field


@lru_cache(maxsize=64)
def _table(outline: Outline) -> tuple[Floats, float]:
    """Return signed distances [rows, columns] over (height, radius), and the height of the first row."""
    drawn = np.array(outline, np.float32)
    lowest = float(drawn[:, 1].min()) - MARGIN
    radii = np.arange(0, float(drawn[:, 0].max()) + MARGIN, CELL, dtype=np.float32)[None, :]
    heights = np.arange(lowest, float(drawn[:, 1].max()) + MARGIN, CELL, dtype=np.float32)[:, None]
    squared = np.full((heights.size, radii.size), np.inf, np.float32)
    inside = np.zeros(squared.shape, bool)
    for (r0, y0), (r1, y1) in pairwise(drawn):
        dr, dy = r1 - r0, y1 - y0
        share = np.clip(((radii - r0) * dr + (heights - y0) * dy) / max(dr * dr + dy * dy, 1e-12), 0, 1)
        gap_r, gap_y = radii - r0 - share * dr, heights - y0 - share * dy
        np.minimum(squared, gap_r * gap_r + gap_y * gap_y, out=squared)
        if y0 != y1:  # even-odd rule along +radius; the axis closes the outline
            crosses = (heights < max(y0, y1)) & (heights >= min(y0, y1))
            inside ^= crosses & (radii < r0 + (heights - y0) / dy * dr)
    distance = np.sqrt(squared)
    return _smoothed(np.where(inside, -distance, distance)), lowest


def _smoothed(table: Floats) -> Floats:
    """Average with the neighbours (1-2-1 both ways): the outline's short straight pieces vanish from
    reflections.
    """
    for axis in (0, 1):
        # The field is even about the axis of turning, so its first column mirrors.
        padded = np.pad(table, [(1, 1) if side == axis else (0, 0) for side in (0, 1)], mode="reflect")
        first, last = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        table = (first + 2 * table + last) * np.float32(0.25)
    return np.ascontiguousarray(table, np.float32)
