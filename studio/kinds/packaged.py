"""Bottles, boxes and candles: what comes with a label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from studio.fields import Field, Floats, block, disc, joined, melted, moved, path, rod, tilted, turned, vector
from studio.kinds.patterns import body_paint, clad, round_paint, wrapped_label
from studio.labels import artwork, printed
from studio.palette import BARE_METALS, COLOURS, MATERIALS, made_of
from studio.product import Product
from studio.profiles import curve, spun, vessel
from studio.subject import Subject
from studio.surfaces import Paint, Part, Spots, Surface, band, blended, plain, ramp, repeating


def bottle(product: Product) -> Subject:
    """0: a steel flask with a screw cap. 1: a corked bottle. 2: a soap bottle with a pump."""
    return (_flask, _corked, _pump)[product.shape % 3](product)


def _flask(product: Product) -> Subject:
    line = curve(
        [
            (0, 0),
            (0.30, 0),
            (0.30, 0),
            (0.345, 0.03),
            (0.35, 0.10),
            (0.35, 0.18),
            (0.35, 1.04),
            (0.345, 1.14),
            (0.32, 1.24),
            (0.22, 1.32),
            (0.20, 1.38),
        ]
    )
    body = spun((*line, (0.0, 1.38)))
    paint = round_paint(product, radius=0.35, tall=1.38)
    if product.pattern == "label":
        paint = wrapped_label(product, paint, radius=0.35, low=0.42, high=0.95, turns=0.34)
    bare = band(-1.0, 0.045)
    surface = clad(product, blended(paint, plain(COLOURS["steel"]), bare))
    cap = disc((0, 1.50, 0), 0.225, 0.115, 0.03)
    loop = path(
        [
            ((-0.15, 1.58, 0), 0.035),
            ((-0.13, 1.74, 0), 0.035),
            ((0.13, 1.74, 0), 0.035),
            ((0.15, 1.58, 0), 0.035),
        ],
        0.05,
    )
    collar = disc((0, 1.375, 0), 0.215, 0.02, 0.008)
    return Subject(
        parts=(
            Part(field=body, surface=surface),
            Part(field=melted(cap, loop, 0.04), surface=made_of("plastic", "black")),
            Part(field=collar, surface=made_of("metal", "steel")),
        ),
        lower=(-0.35, 0, -0.35),
        upper=(0.35, 1.78, 0.35),
    )


def _corked(product: Product) -> Subject:
    line = curve(
        [
            (0, 0),
            (0.27, 0),
            (0.27, 0),
            (0.315, 0.03),
            (0.32, 0.12),
            (0.32, 0.2),
            (0.32, 0.72),
            (0.317, 0.82),
            (0.29, 0.96),
            (0.14, 1.16),
            (0.105, 1.28),
            (0.105, 1.50),
        ]
    )
    lip = disc((0, 1.49, 0), 0.13, 0.035, 0.015)
    label = Part(
        field=disc((0, 0.44, 0), 0.324, 0.26, 0.004),
        surface=made_of(
            "paper",
            wrapped_label(product, plain(COLOURS[product.second]), radius=0.324, low=0.18, high=0.70, turns=0.42),
        ),
    )
    surface = clad(product, round_paint(product, radius=0.32, tall=1.50))
    glass = Part(field=joined(spun((*line, (0.0, 1.50))), lip), surface=surface)
    cork = Part(field=disc((0, 1.56, 0), 0.085, 0.08, 0.02), surface=made_of("wood", "oak"))
    shown = (glass, label, cork) if product.pattern == "label" else (glass, cork)
    return Subject(parts=shown, lower=(-0.32, 0, -0.32), upper=(0.32, 1.64, 0.32))


def _pump(product: Product) -> Subject:
    line = curve(
        [
            (0, 0),
            (0.35, 0),
            (0.35, 0),
            (0.395, 0.03),
            (0.40, 0.10),
            (0.40, 0.18),
            (0.40, 0.76),
            (0.398, 0.84),
            (0.38, 0.90),
            (0.24, 0.98),
            (0.16, 1.00),
        ]
    )
    paint = round_paint(product, radius=0.40, tall=1.0)
    if product.pattern == "label":
        paint = wrapped_label(product, paint, radius=0.40, low=0.16, high=0.74, turns=0.36)
    collar = disc((0, 1.05, 0), 0.15, 0.065, 0.012)
    stem = joined(collar, disc((0, 1.16, 0), 0.045, 0.10, 0.005))
    nozzle = joined(
        disc((0, 1.29, 0), 0.105, 0.05, 0.025),
        path([((0.03, 1.30, 0.02), 0.036), ((0.26, 1.30, 0.12), 0.032), ((0.31, 1.25, 0.14), 0.028)], 0.03),
    )
    return Subject(
        parts=(
            Part(field=spun((*line, (0.0, 1.0))), surface=clad(product, paint)),
            Part(field=joined(stem, nozzle), surface=made_of("plastic", "black")),
        ),
        lower=(-0.40, 0, -0.40),
        upper=(0.40, 1.35, 0.40),
    )


BOXES = ((0.42, 0.62, 0.20), (0.50, 0.34, 0.50), (0.62, 0.22, 0.40))  # half extents: carton, cube, shoe box

PRINTED = ("label", "band", "stripes")  # patterns of a box with artwork on its front


def box(product: Product) -> Subject:
    """A printed carton, a cube or a lidded shoe box."""
    form = product.shape % len(BOXES)
    wide, high, deep = BOXES[form]
    surface = clad(product, _box_paint(product, wide, high, deep))
    parts = [Part(field=block((0, high, 0), (wide, high, deep), 0.012), surface=surface)]
    top = 2 * high
    if form == 2:
        lid = block((0, top - 0.06, 0), (wide + 0.018, 0.085, deep + 0.018), 0.012)
        parts.append(Part(field=lid, surface=made_of(product.material, product.second)))
        top += 0.03
    return Subject(parts=tuple(parts), lower=(-wide, 0, -deep), upper=(wide, top, deep))


def _box_paint(product: Product, wide: float, high: float, deep: float) -> Paint:
    if product.pattern not in PRINTED:
        return body_paint(product, size=2 * min(wide, high))
    base, second = COLOURS[product.colour], COLOURS[product.second]
    shown = 2 * high - (0.145 if product.shape % len(BOXES) == 2 else 0.0)  # the lid hides the rest
    art = artwork(shown / (2 * wide), base, second, second, product.seed)
    front = printed(art, lambda s: s.points[0] / (2 * wide) + 0.5, lambda s: s.points[1] / shown)
    side = plain(base)
    if product.pattern == "stripes":
        side = blended(side, plain(second), repeating(lambda s: s.points[2], deep / 3, 0.5))
    if product.pattern == "band":
        low = band(0.0, 2 * high * 0.16)
        front, side = blended(front, plain(second), low), blended(side, plain(second), low)

    def faces_front(spots: Spots) -> Floats:
        return np.asarray((spots.normals[2] > 0.7).astype(np.float32))

    return blended(side, front, faces_front)


def candle(product: Product) -> Subject:
    """0: wax in a glass jar. 1: a pillar on a dish. 2: a lidded tin, open."""
    return (_jar, _pillar, _tin)[product.shape % 3](product)


def _flame(level: float) -> tuple[Part, Part]:
    wick = Part(field=rod((0, level - 0.02, 0), (0.012, level + 0.08, 0), 0.009), surface=made_of("cloth", "black"))
    line = curve(
        [
            (0, level + 0.045),
            (0.03, level + 0.075),
            (0.042, level + 0.115),
            (0.025, level + 0.185),
            (0.0, level + 0.26),
        ]
    )
    return wick, Part(field=spun(line), surface=_burning(level))


def _burning(level: float) -> Surface:
    def glow(spots: Spots) -> Floats:
        share = ramp(level + 0.09, spots.points[1], 0.10)
        hot, base = vector((1.7, 1.15, 0.42)), vector((1.1, 0.42, 0.10))
        return base + (hot - base) * share

    return replace(made_of("wax", "amber"), glow=glow)


def _jar(product: Product) -> Subject:
    outside = curve([(0, 0), (0.36, 0), (0.36, 0), (0.41, 0.03), (0.42, 0.10), (0.42, 0.90)])
    jar = Part(field=spun(vessel(outside, wall=0.028, floor=0.06)), surface=made_of("glass", "white"))
    wax_line = curve(
        [
            (0, 0.07),
            (0.34, 0.07),
            (0.34, 0.07),
            (0.388, 0.11),
            (0.388, 0.60),
            (0.388, 0.60),
            (0.36, 0.585),
            (0.0, 0.575),
        ]
    )
    wax = Part(field=spun(wax_line), surface=made_of("wax", product.colour))
    label = Part(
        field=disc((0, 0.36, 0), 0.424, 0.20, 0.003),
        surface=made_of(
            "paper",
            wrapped_label(product, plain(COLOURS[product.second]), radius=0.424, low=0.16, high=0.56, turns=0.36),
        ),
    )
    shown = (wax, jar, label) if product.pattern == "label" else (wax, jar)
    return Subject(parts=(*shown, *_flame(0.575)), lower=(-0.42, 0, -0.42), upper=(0.42, 0.93, 0.42))


def _pillar(product: Product) -> Subject:
    dish_line = curve([(0, 0), (0.34, 0), (0.34, 0), (0.44, 0.015), (0.56, 0.07), (0.57, 0.085)])
    dish = Part(field=spun(vessel(dish_line, wall=0.03, floor=0.03)), surface=made_of("metal", product.second))
    wax_line = curve(
        [
            (0, 0.03),
            (0.30, 0.03),
            (0.30, 0.03),
            (0.315, 0.05),
            (0.315, 0.92),
            (0.295, 0.955),
            (0.24, 0.95),
            (0.0, 0.915),
        ]
    )
    paint = round_paint(product, radius=0.315, tall=0.95)
    wax = Part(field=spun(wax_line), surface=made_of("wax", paint))
    return Subject(parts=(wax, dish, *_flame(0.915)), lower=(-0.57, 0, -0.57), upper=(0.57, 1.18, 0.57))


def _tin(product: Product) -> Subject:
    outside = curve([(0, 0), (0.46, 0), (0.46, 0), (0.48, 0.02), (0.48, 0.42)])
    paint = round_paint(product, radius=0.48, tall=0.42)
    if product.pattern == "label":
        paint = wrapped_label(product, paint, radius=0.48, low=0.07, high=0.37, turns=0.30)
    tin_surface = replace(MATERIALS["metal"], paint=paint) if product.colour in BARE_METALS else made_of("metal", paint)
    tin = Part(field=spun(vessel(outside, wall=0.02, floor=0.03)), surface=tin_surface)
    wax = Part(field=disc((0, 0.19, 0), 0.458, 0.16, 0.01), surface=made_of("wax", "cream"))
    lid = Part(field=_leaning_lid(), surface=made_of("metal", product.colour))
    return Subject(parts=(wax, tin, lid, *_flame(0.35)), lower=(-0.5, 0, -0.48), upper=(0.98, 0.62, 0.6))


def _leaning_lid() -> Field:
    return moved(turned(tilted(disc((0, 0, 0), 0.49, 0.045, 0.015), 64), -35), (0.66, 0.455, 0.12))
