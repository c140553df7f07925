"""Mugs, teapots and vases: turned on the wheel."""

from __future__ import annotations

import numpy as np

from studio.fields import Field, Floats, ball, cut, hypot, melted, path, ring
from studio.kinds.patterns import clad, round_paint
from studio.palette import COLOURS, made_of
from studio.product import Product
from studio.profiles import Outline, curve, spun, vessel
from studio.subject import Subject
from studio.surfaces import Paint, Part, Spots, blended, plain, ramp, within

MUGS: tuple[Outline, ...] = (
    curve([(0, 0), (0.40, 0), (0.40, 0), (0.45, 0.03), (0.48, 0.12), (0.485, 0.5), (0.485, 0.98)]),
    curve([(0, 0), (0.30, 0), (0.30, 0), (0.40, 0.05), (0.52, 0.30), (0.53, 0.55), (0.46, 0.80), (0.45, 0.92)]),
    curve([(0, 0), (0.27, 0), (0.27, 0), (0.30, 0.04), (0.36, 0.12), (0.47, 0.42), (0.55, 0.78)]),
)

_LOW_NECK = (
    (0, 0),
    (0.26, 0),
    (0.26, 0),
    (0.34, 0.05),
    (0.52, 0.45),
    (0.46, 0.85),
    (0.22, 1.14),
    (0.15, 1.30),
)
_SHOULDER = (
    (0, 0),
    (0.30, 0),
    (0.30, 0),
    (0.34, 0.04),
    (0.30, 0.30),
    (0.36, 0.80),
    (0.47, 1.12),
    (0.42, 1.30),
)
_BOWL = ((0, 0), (0.32, 0), (0.32, 0), (0.42, 0.06), (0.62, 0.38), (0.60, 0.62), (0.38, 0.86), (0.28, 0.92))

VASES: tuple[Outline, ...] = (
    curve([*_LOW_NECK, (0.22, 1.45)]),
    curve([*_SHOULDER, (0.35, 1.36), (0.38, 1.45)]),
    curve([*_BOWL, (0.30, 1.02)]),
)


def mug(product: Product) -> Subject:
    """A mug with its handle to the right; glazed inside in the second colour."""
    outline = MUGS[product.shape % len(MUGS)]
    body = spun(vessel(outline, wall=0.045, floor=0.07))
    tall, widest = outline[-1][1], max(r for r, _ in outline)
    edge = _radius_at(outline, tall * 0.53)
    handle = ring((edge + 0.03, tall * 0.53, 0), 0.21, 0.052, upright=True, stretch=1.0 + 0.35 * tall)
    inside = _column(edge - 0.03)
    whole = melted(body, cut(handle, inside), 0.07)
    handle_colour = plain(COLOURS[product.colour])
    outer = blended(handle_colour, round_paint(product, radius=widest, tall=tall), within(widest + 0.012))
    paint = _glazed(product, outer, outline)
    right = edge + 0.30
    return Subject(
        parts=(Part(field=whole, surface=clad(product, paint)),),
        lower=(-widest, 0, -widest),
        upper=(right, tall + 0.02, widest),
    )


def _column(radius: float) -> Field:
    """An endless upright cylinder."""
    return lambda points: hypot(points[0], points[2]) - np.float32(radius)


def _radius_at(outline: Outline, level: float) -> float:
    radii, heights = zip(*outline, strict=True)
    return float(np.interp(level, heights, radii))


def _glazed(product: Product, outer: Paint, outline: Outline) -> Paint:
    """Paint the inside of a vessel in the second colour, up to its rim."""
    heights, radii = np.array([y for _, y in outline]), np.array([r for r, _ in outline])

    def inside(spots: Spots) -> Floats:
        wall = np.interp(spots.points[1], heights, radii).astype(np.float32) - np.float32(0.022)
        return ramp(0.0, wall - hypot(spots.points[0], spots.points[2]), 0.006) * ramp(0.05, spots.points[1], 0.01)

    own = product.pattern == "speckled" or product.material in ("metal", "glass")
    inner = product.colour if own else product.second
    return blended(outer, plain(COLOURS[inner]), inside)


def vase(product: Product) -> Subject:
    """A vase in one of three forms; `fluted` gives it ribs."""
    outline = VASES[product.shape % len(VASES)]
    tall, widest = outline[-1][1], max(r for r, _ in outline)
    ribbed = product.pattern == "fluted"
    body = spun(vessel(outline, wall=0.1 if ribbed else 0.05, floor=0.1))
    if ribbed:
        body = _fluted(body, 18, 0.02)
    surface = clad(product, round_paint(product, radius=widest, tall=tall))
    return Subject(
        parts=(Part(field=body, surface=surface),),
        lower=(-widest, 0, -widest),
        upper=(widest, tall + 0.02, widest),
    )


def _fluted(body: Field, ribs: int, depth: float) -> Field:
    def field(points: Floats) -> Floats:
        angle = np.arctan2(points[0], points[2])
        swing = np.cos(angle * np.float32(ribs / 2))
        wave = np.sqrt(swing * swing + np.float32(0.03))  # ribs with rounded valleys between
        # Ribs fade towards the axis, where they would run together: so their slope is the same at every
        # radius.
        fade = np.clip(hypot(points[0], points[2]) * 2, 0, 1)
        return np.asarray((body(points) - np.float32(depth) * (wave - 1) * fade) * np.float32(0.85))

    return field


def teapot(product: Product) -> Subject:
    """A round teapot: spout to the right, handle to the left, lid with a knob."""
    outline = curve(
        [(0, 0), (0.32, 0), (0.32, 0), (0.42, 0.04), (0.60, 0.32), (0.54, 0.62), (0.34, 0.78), (0.26, 0.81)]
    )
    belly = spun((*outline, (0.0, 0.83)))
    spout = path(
        [
            ((0.42, 0.26, 0), 0.13),
            ((0.72, 0.42, 0), 0.085),
            ((0.86, 0.70, 0), 0.06),
            ((0.96, 0.82, 0), 0.055),
        ],
        0.06,
    )
    spout = cut(spout, path([((0.86, 0.72, 0), 0.03), ((1.02, 0.90, 0), 0.04)], 0.01))
    handle = ring((-0.60, 0.46, 0), 0.23, 0.05, upright=True, stretch=1.25)
    body = melted(melted(belly, spout, 0.08), cut(handle, _column(0.45)), 0.06)
    lid_line = curve([(0, 0.80), (0.29, 0.80), (0.29, 0.80), (0.30, 0.825), (0.27, 0.86), (0.12, 0.93), (0.0, 0.945)])
    lid = melted(spun(lid_line), ball((0, 1.0, 0), 0.068), 0.05)
    surface = clad(product, round_paint(product, radius=0.6, tall=0.85))
    knob = made_of("wood", product.second) if product.second in ("oak", "walnut") else surface
    top = blended(surface.paint, knob.paint, within(0.085)) if knob is not surface else surface.paint
    return Subject(
        parts=(Part(field=body, surface=surface), Part(field=lid, surface=clad(product, top))),
        lower=(-0.88, 0, -0.6),
        upper=(1.0, 1.07, 0.6),
    )
