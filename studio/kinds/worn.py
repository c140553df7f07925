"""Shoes and watches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from studio.fields import Field, Floats, block, cut, hypot, joined, melted, rod, stud
from studio.kinds.patterns import body_paint, clad
from studio.palette import COLOURS, made_of
from studio.product import Product
from studio.profiles import curve
from studio.subject import Subject
from studio.surfaces import Measure, Paint, Part, Spots, blended, plain, ramp, repeating

HEEL, BALL = (-0.44, 0.155), (0.40, 0.205)  # of a foot from above: where on the length, and how round
TIP = BALL[0] + BALL[1]


def shoe(product: Product) -> Subject:
    """0: a laced trainer. 1: a Chelsea boot. 2: a rain boot."""
    return (_trainer, _chelsea, _rain_boot)[product.shape % 3](product)


def _footprint(points: Floats) -> Floats:
    """Distance to the outline of a foot from above: two circles and what lies between."""
    along, narrow = np.float32(BALL[0] - HEEL[0]), np.float32(BALL[1] - HEEL[1])
    share = np.clip((points[0] - np.float32(HEEL[0])) / along, 0, 1)
    away = hypot(points[0] - np.float32(HEEL[0]) - along * share, points[2])
    return np.asarray(away - (np.float32(HEEL[1]) + narrow * share))


def _sprung(points: Floats) -> Floats:
    """Points as they were before the toe was lifted off the ground."""
    lift = np.float32(0.45) * np.maximum(points[0] - np.float32(0.30), 0) ** 2
    return np.stack([points[0], points[1] - lift, points[2]])


def _sole(low: float, high: float, wider: float) -> Field:
    middle, half, rounding = np.float32((low + high) / 2), np.float32((high - low) / 2), np.float32(0.02)

    def field(points: Floats) -> Floats:
        local = _sprung(points)
        side = _footprint(local) - np.float32(wider) + rounding
        tall = np.abs(local[1] - middle) - half + rounding
        outside = hypot(np.maximum(side, 0), np.maximum(tall, 0))
        return np.asarray((outside + np.minimum(np.maximum(side, tall), 0) - rounding) * np.float32(0.9))

    return field


def _upper(roof: Callable[[Floats], Floats], *, lean: float, blend: float) -> Field:
    """A foot's outline, narrowing by `lean` with height, under a roof over its length."""
    size = np.float32(blend)

    def field(points: Floats) -> Floats:
        local = _sprung(points)
        side = _footprint(local) + np.float32(lean) * np.clip(local[1], 0, 0.45)
        top = (local[1] - roof(local[0])) * np.float32(0.62)
        overlap = np.maximum(size - np.abs(side - top), 0)
        whole = np.maximum(side, top) + overlap * overlap / (4 * size)
        return np.asarray(np.maximum(whole, np.float32(0.03) - local[1]) * np.float32(0.85))

    return field


def _roof(points: list[tuple[float, float]]) -> Callable[[Floats], Floats]:
    """A smooth height over the length of a foot."""
    places, heights = np.array(curve(points, steps=6)).T
    lengths = np.linspace(places[0], places[-1], 64)
    table = np.interp(lengths, places, heights)
    return lambda along: np.interp(along, lengths, table).astype(np.float32)


def _shaft(top: float, radius: float, along: float) -> Field:
    """An upright round shaft, open above."""
    outer = rod((along, 0.30, 0), (along - 0.02, top + radius, 0), radius, radius * 1.06)
    return lambda points: np.maximum(outer(points), points[1] - np.float32(top))


def _opening(bottom: float, along: float, radii: tuple[float, float]) -> Measure:
    """How far a spot lies within an oval shaft, in model units."""
    across = np.float32(radii[0] / radii[1])

    def inside(spots: Spots) -> Floats:
        away = hypot(spots.points[0] - np.float32(along), spots.points[2] * across)
        return np.asarray(np.minimum(np.float32(radii[0]) - away, spots.points[1] - np.float32(bottom)))

    return inside


def _hollow(bottom: float, along: float, radii: tuple[float, float]) -> Field:
    inside = _opening(bottom, along, radii)
    small = np.float32(min(radii) / max(radii))
    return lambda points: -inside(Spots(points=points, normals=points, footprint=0.0)) * small


def _lined(paint: Paint, lining: Paint, inside: Measure) -> Paint:
    return blended(paint, lining, lambda spots: ramp(-0.012, inside(spots), 0.008))


def _trainer(product: Product) -> Subject:
    behind = ((-0.75, 0.56), (-0.56, 0.58), (-0.40, 0.52), (-0.18, 0.53), (-0.06, 0.58))
    roof = _roof([*behind, (0.02, 0.53), (0.30, 0.33), (0.48, 0.26), (0.70, 0.22)])
    ankle = (0.34, -0.33, (0.20, 0.115))
    upper = cut(_upper(roof, lean=0.16, blend=0.14), _hollow(*ankle))
    pattern = body_paint(product, size=0.6, rise=0.27)
    paint = _lined(pattern, plain(COLOURS[product.second]), _opening(*ankle))
    return Subject(
        parts=(
            Part(field=upper, surface=clad(product, paint)),
            Part(field=_sole(0.0, 0.13, 0.03), surface=made_of("plastic", product.second)),
            Part(field=_laces(roof), surface=made_of("cloth", product.second)),
        ),
        lower=(HEEL[0] - HEEL[1] - 0.03, 0, -0.24),
        upper=(TIP + 0.03, 0.60, 0.24),
    )


def _laces(roof: Callable[[Floats], Floats]) -> Field:
    def lace(along: float, side: float) -> Field:
        top = float(roof(np.array([along], np.float32))[0]) - 0.035
        return rod((along, top + 0.03, 0), (along - 0.015, top - 0.02, side * 0.10), 0.016)

    return joined(*(lace(along, side) for along in (0.02, 0.10, 0.18, 0.26) for side in (-1.0, 1.0)))


def _chelsea(product: Product) -> Subject:
    roof = _roof([(-0.75, 0.50), (-0.30, 0.60), (-0.05, 0.56), (0.12, 0.40), (0.30, 0.30), (0.48, 0.25), (0.70, 0.21)])
    body = melted(_upper(roof, lean=0.10, blend=0.14), _shaft(0.92, 0.205, -0.36), 0.14)
    opening = (0.5, -0.38, (0.175, 0.175))
    pattern = body_paint(product, size=0.7, rise=0.24)
    gusset = blended(pattern, plain(COLOURS[product.second]), _gusset)
    paint = _lined(gusset, plain(COLOURS["walnut"]), _opening(*opening))
    heel = block((-0.40, 0.045, 0), (0.165, 0.05, 0.165), 0.02)
    return Subject(
        parts=(
            Part(field=cut(body, _hollow(*opening)), surface=clad(product, paint)),
            Part(field=joined(_sole(0.05, 0.12, 0.022), heel), surface=made_of("plastic", "black")),
        ),
        lower=(HEEL[0] - HEEL[1] - 0.03, 0, -0.23),
        upper=(TIP + 0.03, 0.93, 0.23),
    )


def _gusset(spots: Spots) -> Floats:
    """The elastic at the ankle: a wedge on either side."""
    wide = np.float32(0.03) + np.float32(0.16) * np.clip(spots.points[1] - np.float32(0.42), 0, 1)
    off = np.abs(spots.points[0] + np.float32(0.36)) - wide
    faces = np.abs(spots.normals[2]) > np.float32(0.5)
    return np.asarray(ramp(0.0, -off, spots.footprint) * ramp(0.44, spots.points[1], spots.footprint) * faces)


def _rain_boot(product: Product) -> Subject:
    roof = _roof([(-0.75, 0.50), (-0.30, 0.62), (-0.05, 0.58), (0.12, 0.44), (0.30, 0.34), (0.48, 0.28), (0.70, 0.23)])
    body = melted(_upper(roof, lean=0.10, blend=0.16), _shaft(1.22, 0.225, -0.34), 0.16)
    opening = (0.7, -0.36, (0.205, 0.205))
    paint = _lined(body_paint(product, size=0.7, rise=0.30), plain(COLOURS[product.second]), _opening(*opening))
    heel = block((-0.40, 0.04, 0), (0.17, 0.045, 0.175), 0.02)
    return Subject(
        parts=(
            Part(field=cut(body, _hollow(*opening)), surface=clad(product, paint)),
            Part(field=joined(_sole(0.03, 0.14, 0.035), heel), surface=made_of("plastic", product.second)),
        ),
        lower=(HEEL[0] - HEEL[1] - 0.04, 0, -0.25),
        upper=(TIP + 0.04, 1.23, 0.25),
    )


def watch(product: Product) -> Subject:
    """A watch on its closed strap. 0: round, with a thin bezel. 1: square. 2: round, with a broad bezel."""
    form = product.shape % 3
    middle, front, wide = 0.62, 0.40, (0.30, 0.29, 0.33)[form]
    steel = made_of("metal", "graphite" if product.colour == "steel" else "steel")
    if form == 1:
        case = block((0, middle, front), (wide, wide, 0.06), 0.05)
        face = block((0, middle, front + 0.035), (wide - 0.045, wide - 0.045, 0.03), 0.012)
    else:
        case = stud((0, middle, front), wide, 0.06)
        face = stud((0, middle, front + 0.035), wide - (0.035, 0.0, 0.085)[form], 0.03)
    crown = rod((wide - 0.02, middle, front), (wide + 0.05, middle, front), 0.035)
    bezel = steel if form == 0 else made_of("plastic", product.colour if form == 2 else "steel")
    strap = clad(product, _links(product) if product.material == "metal" else body_paint(product, size=0.42, rise=0.3))
    return Subject(
        parts=(
            Part(field=_strap(middle, 0.165 if form == 0 else 0.19), surface=strap),
            Part(field=cut(case, _front_of(front + 0.058)), surface=bezel),
            Part(field=face, surface=made_of("plastic", _dial(product, middle, wide - (0.05, 0.06, 0.10)[form]))),
            Part(field=crown, surface=steel),
        ),
        lower=(-wide - 0.01, 0, -0.37),
        upper=(wide + 0.06, 2 * middle, front + 0.07),
    )


def _front_of(level: float) -> Field:
    return lambda points: np.float32(level) - points[2]


def _strap(middle: float, wide: float) -> Field:
    """A band closed to a loop that stands upright: straight in front and behind, round above and below."""
    radius, thick, rounding = 0.33, 0.030, np.float32(0.012)
    straight = np.float32(middle - radius - thick)

    def field(points: Floats) -> Floats:
        up = np.maximum(np.abs(points[1] - np.float32(middle)) - straight, 0)
        loop = np.abs(hypot(up, points[2]) - np.float32(radius)) - np.float32(thick) + rounding
        side = np.abs(points[0]) - np.float32(wide) + rounding
        outside = hypot(np.maximum(loop, 0), np.maximum(side, 0))
        return np.asarray(outside + np.minimum(np.maximum(loop, side), 0) - rounding)

    return field


def _links(product: Product) -> Paint:
    """A bracelet: dark lines where its links meet."""
    base = COLOURS[product.colour]
    dark = plain((base[0] * 0.25, base[1] * 0.25, base[2] * 0.25))
    rows = repeating(lambda spots: spots.points[1], 0.085, 0.14)
    columns = repeating(lambda spots: spots.points[0] + np.float32(0.058), 0.115, 0.08)
    return blended(blended(plain(base), dark, columns), dark, rows)


def _dial(product: Product, middle: float, radius: float) -> Paint:
    """A face with twelve marks and its hands at ten past ten, as shops show them."""
    ink = COLOURS["black" if sum(COLOURS[product.second]) > 0.8 else "white"]

    def marked(spots: Spots) -> Floats:
        across, up = spots.points[0], spots.points[1] - np.float32(middle)
        away = hypot(across, up) / np.float32(radius)
        hours = np.arctan2(across, up) * np.float32(6 / np.pi)
        off = np.abs(hours - np.rint(hours)) * away * np.float32(radius * np.pi / 6)
        quarter = np.abs(np.mod(np.rint(hours), 3)) < 0.5
        soft = spots.footprint
        mark = (
            ramp(-0.016, -off, soft) * ramp(0.74, away - quarter * np.float32(-0.10), 0.05) * ramp(-0.95, -away, 0.05)
        )
        for angle, reach, half in ((-56.0, 0.52, 0.022), (60.0, 0.78, 0.015)):
            a = np.deg2rad(angle)
            ahead = across * np.float32(np.sin(a)) + up * np.float32(np.cos(a))
            beside = np.abs(across * np.float32(np.cos(a)) - up * np.float32(np.sin(a)))
            within = ramp(-reach * radius, -ahead, soft) * ramp(-0.12 * radius, ahead, soft)
            mark = np.maximum(mark, ramp(-half, -beside, soft) * within)
        return np.asarray(np.maximum(mark, ramp(-0.035, -hypot(across, up), soft)))

    return blended(plain(COLOURS[product.second]), plain(ink), marked)
