"""Patterns for bodies, round and otherwise, from a product's attributes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from studio.fields import Floats, hypot
from studio.labels import artwork, printed
from studio.palette import BARE_METALS, COLOURS, MATERIALS, made_of
from studio.product import Product
from studio.surfaces import (
    Measure,
    Paint,
    Spots,
    Surface,
    around,
    band,
    blended,
    dotted,
    grained,
    height,
    mixed,
    plain,
    ramp,
    repeating,
    speckled,
)

FRONT = np.float32(2.0)  # a front reaches this far around a bend (tangent), so that its pattern has no seam in view
WOODS = ("oak", "walnut", "tan")


def ground(product: Product) -> Paint:
    """The product's colour before any pattern: with its grain where it is a wood's colour on wood."""
    base = COLOURS[product.colour]
    if product.material == "wood" and product.colour in WOODS:
        return grained(base, mixed(base, (0.10, 0.05, 0.02), 0.45), product.seed)
    return plain(base)


def round_paint(product: Product, *, radius: float, tall: float) -> Paint:
    """The pattern of an upright round body of about this radius and height."""
    base, over = ground(product), plain(COLOURS[product.second])
    if product.pattern == "stripes":
        return blended(base, over, repeating(height, tall / 6, 0.42))
    if product.pattern == "dots":
        spacing = tall / 6.5
        columns = max(round(6.2832 * radius / spacing), 6)
        return blended(base, over, dotted(columns, spacing, spacing * 0.27, radius))
    if product.pattern == "band":
        return blended(base, over, band(tall * 0.0, tall * 0.3))
    if product.pattern == "speckled":
        return blended(base, over, speckled(0.014, 0.2, product.seed))
    if product.pattern == "checks":
        columns = max(round(6.2832 * radius / (tall / 3)), 4)
        return _checked(base, over, repeating(height, tall / 5, 0.5), repeating(around, 1 / columns, 0.5))
    return base


def body_paint(product: Product, *, size: float, rise: float = 0.3) -> Paint:
    """The pattern of a body of any shape and about this size: laid on from the front, the side and above."""
    base, over = ground(product), plain(COLOURS[product.second])
    if product.pattern == "stripes":
        return blended(base, over, repeating(_across, size / 4.5, 0.45))
    if product.pattern == "dots":
        return blended(base, over, _dots(size / 4.5, size / 15))
    if product.pattern == "band":
        return blended(base, over, band(-1.0, rise))
    if product.pattern == "speckled":
        return blended(base, over, speckled(0.014, 0.2, product.seed))
    if product.pattern == "checks":
        return _checked(base, over, repeating(_across, size / 3.5, 0.5), repeating(_along, size / 3.5, 0.5))
    return base


def _checked(base: Paint, over: Paint, *stripes: Measure) -> Paint:
    """Gingham: two sets of stripes, each half as dense as where they cross."""
    return blended(base, over, lambda spots: np.asarray(sum(each(spots) for each in stripes) * np.float32(0.5)))


def _across(spots: Spots) -> Floats:
    """Place from left to right, as seen from the side that a spot faces."""
    x, y, z = np.abs(spots.normals)
    return np.asarray(np.where(x > FRONT * np.maximum(y, z), spots.points[2], spots.points[0]))


def _along(spots: Spots) -> Floats:
    """Place from bottom to top, as seen from the side that a spot faces."""
    x, y, z = np.abs(spots.normals)
    return np.asarray(np.where(y > FRONT * np.maximum(x, z), spots.points[2], spots.points[1]))


def _dots(spacing: float, radius: float) -> Measure:
    def cover(spots: Spots) -> Floats:
        row = np.floor(_along(spots) / np.float32(spacing))
        place = _across(spots) / np.float32(spacing) + np.mod(row, 2) * np.float32(0.5)
        across = (place - np.floor(place) - np.float32(0.5)) * np.float32(spacing)
        up = _along(spots) - (row + np.float32(0.5)) * np.float32(spacing)
        return ramp(-radius, -hypot(across, up), spots.footprint)

    return cover


def clad(product: Product, paint: Paint) -> Surface:
    """The product's material under a paint; a bare metal that is plain stays bare."""
    if product.material == "metal" and product.pattern == "plain" and product.colour in BARE_METALS:
        return replace(MATERIALS["metal"], paint=paint)
    return made_of(product.material, paint)


def wrapped_label(product: Product, under: Paint, *, radius: float, low: float, high: float, turns: float) -> Paint:
    """A paper label around a round body, `turns` of the way round, centred on the front."""
    wide = 6.2832 * radius * turns
    ink = COLOURS["black" if product.second in ("cream", "white", "kraft", "blush", "sage") else "cream"]
    accent = COLOURS[product.colour] if product.second in ("cream", "white") else COLOURS["mustard"]
    art = artwork((high - low) / wide, COLOURS[product.second], ink, accent, product.seed)

    def across(spots: Spots) -> Floats:
        return around(spots) / turns + 0.5

    def up(spots: Spots) -> Floats:
        return np.asarray((spots.points[1] - low) / (high - low), np.float32)

    return blended(under, printed(art, across, up), _on_label(low, high, radius, turns))


def _on_label(low: float, high: float, radius: float, turns: float) -> Measure:
    vertical = band(low, high)

    def cover(spots: Spots) -> Floats:
        along = abs(around(spots)) * (6.2832 * radius)
        outward = ramp(0.5, spots.normals[0] ** 2 + spots.normals[2] ** 2, 0.3)
        return vertical(spots) * ramp(-3.1416 * radius * turns, -along, spots.footprint) * outward

    return cover
