"""Patterns for round bodies, from a product's attributes."""

from __future__ import annotations

import numpy as np

from studio.fields import Floats
from studio.labels import artwork, printed
from studio.palette import COLOURS
from studio.product import Product
from studio.surfaces import (
    Measure,
    Paint,
    Spots,
    around,
    band,
    blended,
    dotted,
    height,
    plain,
    ramp,
    repeating,
    speckled,
)


def round_paint(product: Product, *, radius: float, tall: float) -> Paint:
    """The pattern of an upright round body of about this radius and height."""
    base, over = plain(COLOURS[product.colour]), plain(COLOURS[product.second])
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
    return base


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
