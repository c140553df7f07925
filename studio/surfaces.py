"""What a shape is made of and painted with.

Colours are linear light in [0, 1]. Patterns are laid out in model units, so they do not depend on the
picture's size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from studio.fields import Field, Floats, Vector, hypot, vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Spots:
    """Points of one surface that are being painted."""

    points: Floats  # [3, N]
    normals: Floats  # [3, N], unit length
    footprint: float  # width of a pixel there: edges of patterns are this soft, so they need no supersampling


Paint = Callable[[Spots], Floats]  # -> linear colour [3, N]
Measure = Callable[[Spots], Floats]  # -> one number per spot [N]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """How a surface answers light."""

    paint: Paint
    roughness: float = 0.4  # 0 mirror, 1 chalk
    reflectance: float = 0.04  # share of light mirrored head-on
    metal: bool = False  # mirrors in its own colour and scatters nothing
    glass: bool = False  # shows what is behind it, tinted by its paint
    sheen: float = 0.0  # the soft bright edge of cloth and wax
    glow: Paint | None = None  # light that the surface gives off
    grain: float = 0.0  # strength of a fine bump
    grain_size: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One solid with one surface."""

    field: Field
    surface: Surface


def linear(colour: str) -> Vector:
    """Decode '#rrggbb' (sRGB) to linear light."""
    values = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return r, g, b


def mixed(first: Vector, second: Vector, share: float) -> Vector:
    r, g, b = (a + (c - a) * share for a, c in zip(first, second, strict=True))
    return r, g, b


def plain(colour: Vector) -> Paint:
    column = vector(colour)
    return lambda spots: np.broadcast_to(column, spots.points.shape)


def ramp(edge: float, value: Floats, softness: float) -> Floats:
    """0 below the edge, 1 above, smooth over `softness`."""
    t = np.clip((value - np.float32(edge)) / np.float32(max(softness, 1e-6)) + np.float32(0.5), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def blended(under: Paint, over: Paint, cover: Measure) -> Paint:
    """Put one paint over another where `cover` is 1."""

    def paint(spots: Spots) -> Floats:
        base = under(spots)
        return base + (over(spots) - base) * cover(spots)

    return paint


def height(spots: Spots) -> Floats:
    return np.asarray(spots.points[1])


def around(spots: Spots) -> Floats:
    """Angle about the vertical axis in turns, 0 towards the viewer, in [-0.5, 0.5]."""
    return np.asarray(np.arctan2(spots.points[0], spots.points[2]) * np.float32(0.5 / np.pi))


def above(level: float) -> Measure:
    return lambda spots: ramp(level, spots.points[1], spots.footprint)


def band(low: float, high: float) -> Measure:
    """1 between two heights."""
    return lambda spots: ramp(low, spots.points[1], spots.footprint) * ramp(-high, -spots.points[1], spots.footprint)


def within(radius: float) -> Measure:
    """1 nearer to the vertical axis than `radius`."""
    return lambda spots: ramp(-radius, -hypot(spots.points[0], spots.points[2]), spots.footprint)


def repeating(measure: Measure, period: float, share: float) -> Measure:
    """1 on `share` of each period of a measure: stripes."""

    def cover(spots: Spots) -> Floats:
        phase = measure(spots) / np.float32(period)
        middle = np.abs(phase - np.floor(phase) - np.float32(0.5))
        return ramp(-share / 2, -middle, spots.footprint / period)

    return cover


def dotted(columns: int, spacing: float, radius: float, size: float) -> Measure:
    """Dots in staggered rows on an upright round body of about radius `size`."""

    def cover(spots: Spots) -> Floats:
        row = np.floor(spots.points[1] / np.float32(spacing))
        turns = around(spots) * np.float32(columns) + np.mod(row, 2) * np.float32(0.5)
        across = (turns - np.floor(turns) - np.float32(0.5)) * np.float32(2 * np.pi * size / columns)
        up = spots.points[1] - (row + np.float32(0.5)) * np.float32(spacing)
        return ramp(-radius, -hypot(across, up), spots.footprint)

    return cover


@lru_cache(maxsize=8)
def _lattice(seed: int) -> Floats:
    return np.random.default_rng(seed).random(32**3, dtype=np.float32)


def noise(points: Floats, size: float, seed: int) -> Floats:
    """Smooth value noise in [0, 1] with blobs of about `size`, repeating every 32 of them."""
    scaled = points / np.float32(size)
    whole = np.floor(scaled)
    share = scaled - whole
    share = share * share * (3 - 2 * share)
    x, y, z = whole.astype(np.int32)
    values = _lattice(seed)
    faces = []
    for dz in (0, 1):
        for dy in (0, 1):
            row = ((z + dz & 31) << 10) + ((y + dy & 31) << 5)
            left, right = values[row + (x & 31)], values[row + (x + 1 & 31)]
            faces.append(left + (right - left) * share[0])
    near = faces[0] + (faces[1] - faces[0]) * share[1]
    far = faces[2] + (faces[3] - faces[2]) * share[1]
    return np.asarray(near + (far - near) * share[2], np.float32)


def speckled(size: float, amount: float, seed: int) -> Measure:
    """1 on scattered specks: the iron spots of stoneware."""
    return lambda spots: ramp(1 - amount, noise(spots.points, size, seed), 0.08)


def grained(under: Vector, over: Vector, seed: int) -> Paint:
    """Wood: long fibres along x and rings that wander."""

    def paint(spots: Spots) -> Floats:
        stretched = spots.points * vector((0.25, 1.6, 1.6))
        wander = noise(stretched, 0.22, seed)
        lines = np.sin((stretched[1] + stretched[2] + wander * 0.5) * np.float32(42.0)) * 0.5 + 0.5
        fibres = noise(spots.points * vector((0.12, 1.0, 1.0)), 0.012, seed + 1)
        share = np.clip(lines * 0.45 + fibres * 0.5, 0, 1).astype(np.float32)
        return np.asarray(vector(under) + (vector(over) - vector(under)) * share)

    return paint
