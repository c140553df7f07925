"""Bags."""

from __future__ import annotations

import numpy as np

from studio.fields import Field, Floats, block, cut, joined, moved, ring, stud
from studio.kinds.patterns import body_paint, clad
from studio.labels import artwork, printed
from studio.palette import COLOURS, made_of
from studio.product import Product
from studio.subject import Subject
from studio.surfaces import Paint, Part, Spots, blended, plain, repeating


def bag(product: Product) -> Subject:
    """0: a handbag with flap and clasp. 1: a tote. 2: a paper carrier."""
    return (_handbag, _tote, _carrier)[product.shape % 3](product)


def _tapered(shape: Field, tall: float, wider: float, deeper: float) -> Field:
    """Narrow a shape towards its top: by `wider` in width and `deeper` in depth (shares, at height
    `tall`).
    """

    def field(points: Floats) -> Floats:
        rise = np.clip(points[1] / np.float32(tall), 0, 1.2)
        across, deep = 1 / (1 - np.float32(wider) * rise), 1 / (1 - np.float32(deeper) * rise)
        return shape(np.stack([points[0] * across, points[1], points[2] * deep])) * np.float32(0.6)

    return field


def _handbag(product: Product) -> Subject:
    body = _tapered(block((0, 0.36, 0), (0.62, 0.36, 0.24), 0.09), 0.72, 0.10, 0.42)
    edge = _front_curve()
    handle = ring((0, 0.70, 0), 0.28, 0.030, upright=True, stretch=1.15)
    grips = joined(*(block((x, 0.73, 0), (0.05, 0.05, 0.05), 0.015) for x in (-0.28, 0.28)))
    clasp = joined(
        stud((0, 0.36, 0.235), 0.055, 0.03),
        *(ring((x, 0.765, 0), 0.05, 0.012, upright=True) for x in (-0.28, 0.28)),
    )
    leather = clad(product, body_paint(product, size=0.8))
    return Subject(
        parts=(
            Part(field=body, surface=leather),
            Part(
                field=lambda points: np.maximum(body(points) - np.float32(0.014), edge(points)),
                surface=leather,
            ),
            Part(field=joined(_over(0.69, handle), grips), surface=leather),
            Part(field=clasp, surface=made_of("metal", product.second)),
        ),
        lower=(-0.62, 0, -0.26),
        upper=(0.62, 1.06, 0.26),
    )


def _over(level: float, shape: Field) -> Field:
    """What of a shape lies above a level."""
    return lambda points: np.maximum(shape(points), np.float32(level) - points[1])


def _front_curve() -> Field:
    """Room for a flap whose lower edge hangs in a shallow curve in front."""

    def field(points: Floats) -> Floats:
        edge = np.float32(0.34) + np.float32(0.42) * points[0] * points[0]
        behind = np.float32(0.10) - points[2]
        return np.asarray(
            np.maximum(edge - points[1], np.minimum(behind, np.float32(0.68) - points[1])) * np.float32(0.8)
        )

    return field


def _open_sack(wide: float, tall: float, deep: float, rounding: float, wall: float) -> Field:
    outer = block((0, tall / 2, 0), (wide, tall / 2, deep), rounding)
    inner = block((0, tall / 2 + 0.3, 0), (wide - wall, tall / 2 + 0.3 - wall, deep - wall), rounding)
    return cut(outer, inner)


def _printed_front(product: Product, wide: float, tall: float) -> Paint:
    if product.pattern not in ("label", "stripes"):
        return body_paint(product, size=2 * wide)
    base = COLOURS[product.colour]
    art = artwork(tall / (2 * wide), base, COLOURS[product.second], COLOURS[product.second], product.seed)
    front = printed(art, lambda s: s.points[0] / (2 * wide) + 0.5, lambda s: s.points[1] / tall)
    under = plain(base)
    if product.pattern == "stripes":
        return blended(under, plain(COLOURS[product.second]), repeating(lambda s: s.points[0], wide / 4, 0.4))
    return blended(under, front, _faces_front)


def _faces_front(spots: Spots) -> Floats:
    return np.asarray(((spots.normals[2] > 0.6) & (spots.points[2] > 0.05)).astype(np.float32))


def _tote(product: Product) -> Subject:
    sack = _tapered(_open_sack(0.56, 0.98, 0.20, 0.05, 0.022), 0.98, -0.05, 0.35)
    surface = made_of(product.material, _printed_front(product, 0.56, 0.98))
    straps = joined(
        *(moved(ring((0, 0.98, 0), 0.24, 0.026, upright=True, stretch=1.75), (0, 0, z)) for z in (0.125, -0.125))
    )
    straps = _over(0.86, straps)
    return Subject(
        parts=(Part(field=sack, surface=surface), Part(field=straps, surface=made_of("leather", "tan"))),
        lower=(-0.60, 0, -0.22),
        upper=(0.60, 1.42, 0.22),
    )


def _carrier(product: Product) -> Subject:
    sack = _open_sack(0.48, 1.10, 0.22, 0.008, 0.014)
    surface = made_of(product.material, _printed_front(product, 0.48, 1.10))
    cords = joined(
        *(moved(ring((0, 1.08, 0), 0.17, 0.017, upright=True, stretch=1.3), (0, 0, z)) for z in (0.20, -0.20))
    )
    cords = _over(1.02, cords)
    return Subject(
        parts=(
            Part(field=sack, surface=surface),
            Part(field=cords, surface=made_of("cloth", product.second)),
        ),
        lower=(-0.48, 0, -0.22),
        upper=(0.48, 1.32, 0.22),
    )
