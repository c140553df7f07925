"""Signed distance fields: how the studio describes solid shapes. Knows nothing of colour, light or cameras.

A field maps points [3, N] (x right, y up, z towards the viewer; float32) to distances [N]: negative inside,
zero on the surface, never larger than the true distance, so that a ray may step by it. Shapes after Inigo
Quilez, "3D SDFs".
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Field = Callable[[Floats], Floats]
Vector = tuple[float, float, float]


def vector(values: Vector) -> Floats:
    """Return a column [3, 1] that broadcasts over points."""
    return np.array(values, np.float32)[:, None]


def hypot(a: Floats, b: Floats) -> Floats:
    """Length of (a, b); several times faster than `np.hypot`, which guards against overflow that we never
    reach.
    """
    return np.sqrt(a * a + b * b)


def length(points: Floats) -> Floats:
    """Length of each column of [3, N]."""
    return np.asarray(np.sqrt(points[0] * points[0] + points[1] * points[1] + points[2] * points[2]))


def ball(centre: Vector, radius: float) -> Field:
    at = vector(centre)
    return lambda points: length(points - at) - np.float32(radius)


def ellipsoid(centre: Vector, radii: Vector) -> Field:
    """An ellipsoid; the distance is the usual first-order bound, good near the surface."""
    at, scale = vector(centre), vector(radii)
    smallest = np.float32(min(radii))

    def field(points: Floats) -> Floats:
        local = (points - at) / scale
        size = length(local)
        slope = length(local / scale)
        return np.where(size < 0.5, (size - 1) * smallest, size * (size - 1) / np.maximum(slope, 1e-6))

    return field


def block(centre: Vector, half: Vector, rounding: float) -> Field:
    """A box of half extents `half` whose edges are rounded inwards by `rounding`."""
    at, extent = vector(centre), vector(half) - np.float32(rounding)

    def field(points: Floats) -> Floats:
        beyond = np.abs(points - at) - extent
        inside = np.minimum(np.maximum(np.maximum(beyond[0], beyond[1]), beyond[2]), 0)
        return np.asarray(length(np.maximum(beyond, 0)) + inside - np.float32(rounding))

    return field


def rod(start: Vector, end: Vector, radius: float, end_radius: float | None = None) -> Field:
    """A round-ended rod from `start` to `end`, tapering to `end_radius`."""
    a, along = vector(start), vector(end) - vector(start)
    taper = np.float32((radius if end_radius is None else end_radius) - radius)
    squared = np.float32((along * along).sum())

    def field(points: Floats) -> Floats:
        local = points - a
        share = (local[0] * along[0] + local[1] * along[1] + local[2] * along[2]) / squared
        share = np.clip(share, 0, 1)
        return np.asarray(length(local - along * share) - (np.float32(radius) + taper * share))

    return field


def disc(centre: Vector, radius: float, half_height: float, rounding: float) -> Field:
    """An upright cylinder with rounded edges."""
    x, y, z = (np.float32(value) for value in centre)

    def field(points: Floats) -> Floats:
        side = hypot(points[0] - x, points[2] - z) - np.float32(radius - rounding)
        top = np.abs(points[1] - y) - np.float32(half_height - rounding)
        outside = hypot(np.maximum(side, 0), np.maximum(top, 0))
        return np.asarray(outside + np.minimum(np.maximum(side, top), 0) - np.float32(rounding))

    return field


def stud(centre: Vector, radius: float, half: float) -> Field:
    """A short cylinder that faces the viewer."""
    upright = disc((0, 0, 0), radius, half, min(half, radius) * 0.6)
    x, y, z = (np.float32(value) for value in centre)
    return lambda points: upright(np.stack([points[0] - x, points[2] - z, points[1] - y]))


def ring(centre: Vector, radius: float, thickness: float, *, upright: bool = False, stretch: float = 1.0) -> Field:
    """A torus lying flat, or standing in the x-y plane when `upright`; `stretch` lengthens the upright one
    in y.
    """
    x, y, z = (np.float32(value) for value in centre)
    straight = np.float32(max(radius * (stretch - 1.0), 0.0))

    def field(points: Floats) -> Floats:
        across, up, deep = points[0] - x, points[1] - y, points[2] - z
        if not upright:
            return hypot(hypot(across, deep) - np.float32(radius), up) - np.float32(thickness)
        up = np.maximum(np.abs(up) - straight, 0)
        return hypot(hypot(across, up) - np.float32(radius), deep) - np.float32(thickness)

    return field


def path(stops: list[tuple[Vector, float]], blend: float) -> Field:
    """A bent tube through (position, radius) stops, its joints smoothed over `blend`."""
    rods = [rod(a, b, ra, rb) for (a, ra), (b, rb) in pairwise(stops)]
    field = rods[0]
    for piece in rods[1:]:
        field = melted(field, piece, blend)
    return field


def joined(*fields: Field) -> Field:
    def field(points: Floats) -> Floats:
        nearest = fields[0](points)
        for other in fields[1:]:
            nearest = np.minimum(nearest, other(points))
        return nearest

    return field


def melted(first: Field, second: Field, blend: float) -> Field:
    """Join two shapes with a fillet of about `blend` (polynomial smooth minimum)."""
    size = np.float32(blend)

    def field(points: Floats) -> Floats:
        a, b = first(points), second(points)
        overlap = np.maximum(size - np.abs(a - b), 0)
        return np.asarray(np.minimum(a, b) - overlap * overlap / (4 * size))

    return field


def cut(shape: Field, away: Field) -> Field:
    """`shape` without what lies inside `away`."""
    return lambda points: np.maximum(shape(points), -away(points))


def common(first: Field, second: Field) -> Field:
    """What lies inside both."""
    return lambda points: np.maximum(first(points), second(points))


def moved(shape: Field, offset: Vector) -> Field:
    by = vector(offset)
    return lambda points: shape(points - by)


def turn(points: Floats, degrees: float) -> Floats:
    """Turn points about the vertical axis; positive brings the right-hand side towards the viewer's far
    side.
    """
    angle = np.deg2rad(degrees)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return np.stack([c * points[0] + s * points[2], points[1], c * points[2] - s * points[0]])


def turned(shape: Field, degrees: float) -> Field:
    return lambda points: shape(turn(points, -degrees))


def tilted(shape: Field, degrees: float) -> Field:
    """Turn a shape about the z axis (positive: anticlockwise as seen by the viewer)."""
    angle = np.deg2rad(degrees)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))

    def field(points: Floats) -> Floats:
        return shape(np.stack([c * points[0] + s * points[1], c * points[1] - s * points[0], points[2]]))

    return field
