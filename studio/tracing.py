"""Rays against a distance field: where they hit, how open a point is, how much of a lamp it sees.

Sphere tracing after Hart 1996; soft shadows and occlusion from the field's own distances after Quilez.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.fields import Field, Floats

CHUNK = 16384  # points per evaluation, chosen: their temporaries stay in a core's own cache
HIT = 0.0012  # distance that counts as touching, a third of a pixel; the last step is taken all the same
EXACT = 0.0003  # the same where the outline is decided
STEPS = 60  # of a ray; one that has not arrived by then counts by how near it is
CLOSED = 0.86  # the most that corners lose of the room's light: some arrives by way of the walls

Weights = tuple[tuple[float, float], ...]
SURFACE_TAPS: Weights = ((0.12, 0.55), (0.38, 0.50), (1.0, 0.55))
GROUND_TAPS: Weights = ((0.06, 0.25), (0.14, 0.30), (0.30, 0.35), (0.58, 0.40), (1.0, 0.45))


def march(
    field: Field,
    origin: Floats,
    rays: Floats,
    near: Floats,
    far: float,
    *,
    spread: float = 0.0,
    touch: float = HIT,
    least: float = 0.0,
    steps: int = STEPS,
) -> Floats:
    """Return the distance along each ray to the surface, or infinity.

    All rays, unit vectors [3, N], leave from `origin` [3]. Each may start at its `near` [N] (infinite for a
    ray that is known to miss) and ends at `far`. With a `spread`, its half-width per unit of distance, a ray
    is a cone and stops where the field is nearer than that. No step is shorter than
    `least`: a ray that grazes a surface, a fraction of a pixel away, then does not creep along it; one that
    comes to lie inside steps back onto the surface.
    """
    found = np.full(near.shape, np.inf, np.float32)
    for start in range(0, near.size, CHUNK):
        part = slice(start, start + CHUNK)
        found[part] = _march_chunk(
            field, origin[:, None], rays[:, part], near[part], far, (touch, spread, least), steps
        )
    return found


def _march_chunk(
    field: Field,
    origin: Floats,
    rays: Floats,
    near: Floats,
    far: float,
    width: tuple[float, float, float],
    steps: int,
) -> Floats:
    touch, spread, least = (np.float32(value) for value in width)
    found = np.full(near.shape, np.inf, np.float32)
    index = np.flatnonzero(near < far)
    t, ways = near[index], rays[:, index]
    for _ in range(steps):
        gap = field(origin + ways * t)
        touching = gap < touch + spread * t
        step = np.where(touching, gap, np.maximum(gap, least)) if least else gap
        # Dropping columns costs as much as a step, so what arrived stays until enough has: a ray comes closer
        # still, a cone stands where it first touched.
        t = np.where(touching, t, t + step) if spread else t + step
        going = ~touching & (t < far)
        left = np.count_nonzero(going)
        if left < 0.75 * index.size:
            found[index[touching]] = t[touching]
            index, t, ways = index[going], t[going], ways[:, going]
        if not left:
            return found
    gap = field(origin + ways * t)
    creeping = gap < np.maximum(2 * touch, least) + spread * t  # grazing rays that crept along the surface
    found[index[creeping]] = t[creeping]
    return found


def normals(field: Field, points: Floats, reach: float = 0.006) -> Floats:
    """Unit gradients [3, N] of a field, from four lookups at the corners of a tetrahedron."""
    total = np.zeros_like(points)
    for corner in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
        way = np.array(corner, np.float32)[:, None]
        total += way * field(points + way * np.float32(reach))
    return np.asarray(total / np.maximum(np.sqrt((total * total).sum(0)), 1e-9))


def openness(field: Field, points: Floats, ways: Floats, reach: float, shares: Weights = SURFACE_TAPS) -> Floats:
    """Ambient occlusion: 1 where nothing is near above a point, falling in corners.

    `shares` lists (share of the reach, weight) of each lookup above the point.
    """
    closed = np.zeros(points.shape[1], np.float32)
    for start in range(0, points.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        for share, weight in shares:
            step = np.float32(reach * share)
            lost = np.clip(1 - field(points[:, part] + ways[:, part] * step) / step, 0, 1)
            closed[part] += np.float32(weight) * lost * lost * lost  # cubed: no ring where a lookup begins to count
    return 1 - np.clip(closed, 0, CLOSED)


def lamp_share(field: Field, points: Floats, lamp: Floats, *, size: float, reach: float) -> Floats:
    """How much of a far, round lamp each point sees, in [0, 1].

    `lamp` is the unit vector [3] towards it, `size` the tangent of its angular radius (larger lamps give
    softer shadows), `reach` the distance after which nothing can be in the way.
    """
    seen = np.ones(points.shape[1], np.float32)
    for start in range(0, points.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        seen[part] = _lamp_chunk(field, points[:, part], lamp[:, None], size, reach)
    return seen


def _lamp_chunk(field: Field, points: Floats, lamp: Floats, size: float, reach: float) -> Floats:
    widest = np.ones(points.shape[1], np.float32)
    index: NDArray[np.intp] = np.arange(points.shape[1])
    at, t = points, np.full(points.shape[1], 0.012, np.float32)
    clear = widest.copy()
    for _ in range(24):
        gap = field(at + lamp * t)
        clear = np.minimum(clear, gap / (np.float32(size) * t))
        t = t + np.clip(gap, 0.015, 0.3)
        going = (clear > -1) & (t < reach)
        if not going.all():
            widest[index] = clear
            index, at, t, clear = index[going], at[:, going], t[going], clear[going]
        if not index.size:
            break
    widest[index] = clear
    share = np.clip(widest, -1, 1) * np.float32(0.5) + np.float32(0.5)  # -1 covered, 0 half seen, 1 free
    return np.asarray(share * share * (3 - 2 * share))
