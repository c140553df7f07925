"""Chairs and cushions."""

from __future__ import annotations

import numpy as np

from studio.fields import Field, Floats, ball, block, hypot, joined, melted, path, rod
from studio.kinds.patterns import body_paint, clad, ground
from studio.palette import made_of
from studio.product import Product
from studio.subject import Subject
from studio.surfaces import Part, Surface


def chair(product: Product) -> Subject:
    """0: a dining chair with a slatted back. 1: a bent shell on splayed legs. 2: an armchair."""
    return (_dining, _shell, _armchair)[product.shape % 3](product)


def _dining(product: Product) -> Subject:
    seat_high, wide, deep, top = 0.74, 0.36, 0.34, 1.52
    back = (0.05 - deep, -0.10 - deep)  # depth of a post where the seat is, and at its top
    posts = [
        path([((x, 0.0, 0.02 - deep), 0.032), ((x, seat_high, back[0]), 0.036), ((x, top, back[1]), 0.030)], 0.02)
        for x in (-wide + 0.03, wide - 0.03)
    ]
    legs = [rod((x, 0.0, deep), (x * 0.96, seat_high, deep - 0.04), 0.028, 0.036) for x in (-wide + 0.02, wide - 0.02)]
    slats = [_rail(high, wide - 0.04, _lean(high, seat_high, top, deep)) for high in (1.02, 1.21, 1.42)]
    stretchers = [rod((x, 0.30, -deep + 0.04), (x, 0.30, deep - 0.02), 0.018) for x in (-wide + 0.03, wide - 0.03)]
    frame = joined(*posts, *legs, *stretchers, *slats)
    seat = block((0, seat_high + 0.02, 0.0), (wide, 0.035, deep), 0.03)
    surface = clad(product, ground(product))
    return Subject(
        parts=(Part(field=_above_ground(frame), surface=surface), Part(field=seat, surface=surface)),
        lower=(-wide - 0.01, 0, -deep - 0.13),
        upper=(wide + 0.01, top + 0.03, deep + 0.03),
    )


def _lean(high: float, low: float, top: float, deep: float) -> float:
    return -deep + 0.05 - 0.15 * (high - low) / (top - low)


def _rail(high: float, wide: float, deep: float) -> Field:
    """A slat of a back, bent a little backwards."""
    shape = block((0, high, deep), (wide, 0.055, 0.016), 0.012)

    def field(points: Floats) -> Floats:
        bend = np.float32(0.25) * (points[0] * points[0] - np.float32(0.1))
        return shape(np.stack([points[0], points[1], points[2] - bend])) * np.float32(0.9)

    return field


def _above_ground(shape: Field) -> Field:
    return lambda points: np.maximum(shape(points), -points[1])


def _shell(product: Product) -> Subject:
    side = path(
        [
            ((0, 0.70, 0.40), 0.03),
            ((0, 0.72, 0.30), 0.03),
            ((0, 0.68, -0.10), 0.03),
            ((0, 0.74, -0.24), 0.03),
            ((0, 1.02, -0.34), 0.03),
            ((0, 1.34, -0.42), 0.03),
        ],
        0.22,
    )

    def sheet(points: Floats) -> Floats:
        bow = points[0] * points[0]
        back = np.clip((points[1] - np.float32(0.72)) * np.float32(2.5), 0, 1)
        bent = [
            points[0] * 0,
            points[1] - np.float32(0.30) * bow * (1 - back),
            points[2] - np.float32(0.45) * bow * back,
        ]
        narrow = np.float32(0.42) - np.float32(0.10) * np.clip(points[1] - np.float32(0.9), 0, 1)
        corner = hypot(
            np.maximum(np.abs(points[0]) - narrow + np.float32(0.2), 0), np.maximum(points[1] - np.float32(1.15), 0)
        )
        edge = np.maximum(np.abs(points[0]) - narrow, corner - np.float32(0.2))
        return np.asarray(np.maximum(side(np.stack(bent)), edge) * np.float32(0.6))

    feet = [(x, 0.0, z) for x in (-0.36, 0.36) for z in (-0.32, 0.34)]
    legs = joined(*(rod(foot, (foot[0] * 0.42, 0.70, foot[2] * 0.45), 0.020, 0.032) for foot in feet))
    return Subject(
        parts=(
            Part(field=sheet, surface=clad(product, body_paint(product, size=0.9, rise=0.78))),
            Part(field=_above_ground(legs), surface=made_of("wood", "oak" if product.colour != "oak" else "walnut")),
        ),
        lower=(-0.43, 0, -0.46),
        upper=(0.43, 1.37, 0.43),
    )


def _armchair(product: Product) -> Subject:
    seat = block((0, 0.40, 0.02), (0.50, 0.16, 0.46), 0.07)
    back = block((0, 0.72, -0.38), (0.52, 0.46, 0.14), 0.11)
    arms = joined(*(block((x, 0.48, 0.02), (0.115, 0.28, 0.48), 0.09) for x in (-0.53, 0.53)))
    cushion = block((0, 0.60, 0.10), (0.43, 0.095, 0.41), 0.075)
    feet = joined(
        *(rod((x * 1.04, 0, z * 1.04), (x, 0.25, z), 0.028, 0.042) for x in (-0.48, 0.48) for z in (-0.38, 0.38))
    )
    cover = clad(product, body_paint(product, size=1.0, rise=0.42))
    return Subject(
        parts=(
            Part(field=joined(melted(seat, arms, 0.03), back), surface=cover),
            Part(field=cushion, surface=cover),
            Part(field=_above_ground(feet), surface=made_of("wood", "walnut")),
        ),
        lower=(-0.65, 0, -0.52),
        upper=(0.65, 1.18, 0.52),
    )


LEAN = 0.22  # of a standing cushion, as against a wall: depth lost to height


def cushion(product: Product) -> Subject:
    """0: a square cushion. 1: a round one with a button. 2: a bolster."""
    if product.shape % 3 == 2:
        return _bolster(product)
    square = product.shape % 3 == 0
    half, thick = 0.60, 0.25
    parts = [Part(field=_pillow(half, thick, square=square), surface=_cover(product, 1.1))]
    if not square:
        button = ball((0, half, 0.12 - LEAN * half + thick - 0.01), 0.055)
        parts.append(Part(field=button, surface=made_of(product.material, product.second)))
    return Subject(parts=tuple(parts), lower=(-half, 0, -0.42), upper=(half, 2 * half, 0.36))


def _cover(product: Product, size: float) -> Surface:
    return clad(product, body_paint(product, size=size, rise=0.4 * size))


def _pillow(half: float, thick: float, *, square: bool) -> Field:
    """A stuffed shape that leans back: square with drawn-out corners, or round with its middle tied down."""

    def field(points: Floats) -> Floats:
        u = points[0] / np.float32(half)
        v = (points[1] - np.float32(half)) / np.float32(half)
        w = (points[2] + np.float32(LEAN) * points[1] - np.float32(0.12)) / np.float32(thick)
        if square:
            u2, v2 = np.minimum(u * u, 1), np.minimum(v * v, 1)
            u, v = u * (1 + np.float32(0.08) * (1 - v2)), v * (1 + np.float32(0.08) * (1 - u2))
            u2, v2 = u * u, v * v
            flat = np.sqrt(u2 * u2 * u2 + v2 * v2 * v2 + np.float32(1e-6))
        else:
            flat = u * u + v * v
            w = w * (1 + np.float32(0.5) * np.exp(flat * np.float32(-14)))
            flat = flat * flat
        return np.asarray((np.sqrt(flat + w * w) - 1) * np.float32(thick * 0.6))

    return field


def _bolster(product: Product) -> Subject:
    """A roll that lies across, its ends gathered to a button."""
    half, radius, rounding = 0.66, 0.30, 0.09

    def roll(points: Floats) -> Floats:
        side = hypot(points[1] - np.float32(radius), points[2]) - np.float32(radius - rounding)
        end = np.abs(points[0]) - np.float32(half - rounding)
        outside = hypot(np.maximum(side, 0), np.maximum(end, 0))
        return np.asarray(outside + np.minimum(np.maximum(side, end), 0) - np.float32(rounding))

    buttons = joined(*(ball((x, radius, 0), 0.045) for x in (-half, half)))
    return Subject(
        parts=(
            Part(field=roll, surface=_cover(product, 0.9)),
            Part(field=buttons, surface=made_of(product.material, product.second)),
        ),
        lower=(-half - 0.03, 0, -radius),
        upper=(half + 0.03, 2 * radius, radius),
    )
