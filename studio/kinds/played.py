"""Books and toys."""

from __future__ import annotations

import numpy as np

from studio.fields import (
    Field,
    Floats,
    ball,
    block,
    cut,
    disc,
    ellipsoid,
    hypot,
    joined,
    melted,
    moved,
    ring,
    rod,
    turn,
    turned,
)
from studio.kinds.patterns import body_paint, clad
from studio.labels import artwork, printed
from studio.palette import COLOURS, made_of
from studio.product import Colour, Product
from studio.subject import Subject
from studio.surfaces import Paint, Part, Spots, Surface, around, blended, plain, repeating

RAINBOW: tuple[Colour, ...] = ("coral", "amber", "mustard", "sage", "sky", "lavender")


def book(product: Product) -> Subject:
    """0: one book, standing. 1: a stack of three."""
    if product.shape % 2 == 0:
        return _standing(product)
    return _stack(product)


def _volume(wide: float, high: float, deep: float) -> tuple[Field, Field]:
    """A closed book standing with its front to the viewer and its spine on the left: (cover, pages)."""
    board, rounding = 0.022, min(0.6 * deep, 0.05)

    def cover(points: Floats) -> Floats:
        across, thick = points[0], np.abs(points[2])
        left = np.abs(across - 0.1) - np.float32(wide + 0.1 - rounding)
        side = thick - np.float32(deep - rounding)
        outside = hypot(np.maximum(left, 0), np.maximum(side, 0)) + np.minimum(np.maximum(left, side), 0)
        hollow = np.minimum(np.float32(deep - board) - thick, across + np.float32(wide - 0.03))
        ends = np.maximum(np.abs(points[1] - np.float32(high)) - np.float32(high), across - np.float32(wide))
        return np.asarray(np.maximum(np.maximum(outside - np.float32(rounding), hollow), ends))

    return cover, block((0.0, high, 0), (wide - 0.028, high - 0.026, deep - 0.02), 0.004)


def _leaves(axis: int) -> Surface:
    """The cut edge of paper: fine lines across the thickness."""
    lines = repeating(lambda spots: spots.points[axis], 0.013, 0.35)
    return made_of("paper", blended(plain((0.90, 0.86, 0.77)), plain((0.74, 0.69, 0.59)), lines))


def _standing(product: Product) -> Subject:
    wide, high, deep = 0.46, 0.64, 0.10
    cover, pages = _volume(wide, high, deep)
    art = artwork(high / wide, COLOURS[product.colour], COLOURS[product.second], COLOURS[product.second], product.seed)
    front = printed(art, lambda s: s.points[0] / (2 * wide) + 0.5, lambda s: s.points[1] / (2 * high))
    printed_cover: Paint = blended(
        plain(COLOURS[product.colour]), front, lambda s: (s.normals[2] > 0.8).astype(np.float32)
    )
    face = printed_cover if product.pattern in ("plain", "label") else body_paint(product, size=2 * wide)
    return Subject(
        parts=(
            Part(field=cover, surface=made_of(product.material, face)),
            Part(field=pages, surface=_leaves(2)),
        ),
        lower=(-wide - 0.02, 0, -deep),
        upper=(wide, 2 * high, deep),
    )


def _stack(product: Product) -> Subject:
    colours: tuple[Colour, ...] = (product.colour, product.second, "cream")
    sizes = ((0.62, 0.46, 0.085), (0.57, 0.43, 0.065), (0.50, 0.37, 0.075))
    parts: list[Part] = []
    level = 0.0
    for (long, deep, half), colour, angle in zip(sizes, colours, (0.0, 11.0, -8.0), strict=True):
        cover, pages = _volume(long, deep, half)
        lying = [moved(turned(_laid(shape, deep), angle), (0, level + half, 0)) for shape in (cover, pages)]
        parts.append(Part(field=lying[0], surface=made_of(product.material, colour)))
        parts.append(Part(field=lying[1], surface=_leaves(1)))
        level += 2 * half
    return Subject(parts=tuple(parts), lower=(-0.66, 0, -0.48), upper=(0.64, level, 0.48))


def _laid(shape: Field, high: float) -> Field:
    """Lay a standing shape on its back; its spine comes to face the viewer."""

    def field(points: Floats) -> Floats:
        across, up, deep = points
        return shape(np.stack([-deep, across + np.float32(high), up]))

    return field


def toy(product: Product) -> Subject:
    """0: a stack of rings. 1: a ball in wedges. 2: a bath duck. 3: a bear."""
    return (_rings, _ball, _duck, _bear)[product.shape % 4](product)


def _rings(product: Product) -> Subject:
    start = product.seed % len(RAINBOW)
    colours = [RAINBOW[(start + n) % len(RAINBOW)] for n in range(5)]
    parts = [Part(field=disc((0, 0.05, 0), 0.50, 0.05, 0.03), surface=made_of("wood", product.second))]
    level = 0.10
    for number, colour in enumerate(colours):
        thick = 0.125 - 0.012 * number
        level += thick
        loop = ring((0, level, 0), 0.40 - 0.052 * number - thick * 0.5, thick)
        parts.append(Part(field=loop, surface=made_of(product.material, colour)))
        level += thick * 0.93
    parts.append(Part(field=ball((0, level + 0.10, 0), 0.135), surface=made_of(product.material, product.colour)))
    return Subject(parts=tuple(parts), lower=(-0.5, 0, -0.5), upper=(0.5, level + 0.235, 0.5))


def _ball(product: Product) -> Subject:
    def tipped(spots: Spots) -> Floats:
        x, y, z = spots.points
        c, s = np.float32(0.88), np.float32(0.47)
        upright = np.stack([c * x + s * (y - 0.6), c * (y - 0.6) - s * x, z])
        return around(Spots(points=turn(upright, 12), normals=spots.normals, footprint=spots.footprint))

    wedges = repeating(tipped, 1 / 3, 0.5)
    third = repeating(lambda spots: tipped(spots) + np.float32(1 / 12), 1.0, 0.16)
    paint = blended(plain(COLOURS[product.colour]), plain(COLOURS[product.second]), wedges)
    paint = blended(paint, plain(COLOURS["mustard"]), third)
    body = Part(field=ball((0, 0.6, 0), 0.6), surface=made_of(product.material, paint))
    return Subject(parts=(body,), lower=(-0.6, 0, -0.6), upper=(0.6, 1.2, 0.6))


def _duck(product: Product) -> Subject:
    body = melted(ellipsoid((0, 0.30, 0), (0.56, 0.36, 0.44)), ellipsoid((-0.48, 0.56, 0), (0.18, 0.14, 0.16)), 0.22)
    body = melted(body, ball((0.24, 0.88, 0), 0.30), 0.12)
    for side in (0.40, -0.40):
        body = melted(body, ellipsoid((-0.10, 0.42, side), (0.27, 0.17, 0.08)), 0.04)
    body = cut(body, block((0, -0.5, 0), (2, 0.5, 2), 0.0))
    bill = melted(ellipsoid((0.55, 0.85, 0), (0.15, 0.05, 0.13)), ellipsoid((0.54, 0.79, 0), (0.11, 0.035, 0.10)), 0.02)
    eyes = joined(ball((0.425, 0.97, 0.185), 0.045), ball((0.425, 0.97, -0.185), 0.045))
    return Subject(
        parts=(
            Part(field=body, surface=made_of(product.material, product.colour)),
            Part(field=bill, surface=made_of(product.material, product.second)),
            Part(field=eyes, surface=made_of("ceramic", "black")),
        ),
        lower=(-0.66, 0, -0.48),
        upper=(0.70, 1.18, 0.48),
    )


def _bear(product: Product) -> Subject:
    """A sitting bear: muzzle, paws and the insides of its ears in the second colour."""
    body = melted(ellipsoid((0, 0.40, 0), (0.36, 0.42, 0.30)), ball((0, 0.98, 0.02), 0.32), 0.06)
    for side in (-1.0, 1.0):
        body = melted(body, ball((0.25 * side, 1.24, 0), 0.115), 0.03)
        body = melted(body, rod((0.28 * side, 0.62, 0.08), (0.46 * side, 0.34, 0.22), 0.115), 0.05)
        body = melted(body, rod((0.20 * side, 0.15, 0.12), (0.33 * side, 0.145, 0.44), 0.145), 0.05)
    soft = [ball((0.25 * side, 1.24, 0.07), 0.07) for side in (-1.0, 1.0)]
    soft += [ellipsoid((0.335 * side, 0.15, 0.565), (0.095, 0.095, 0.04)) for side in (-1.0, 1.0)]
    muzzle = joined(ellipsoid((0, 0.90, 0.29), (0.15, 0.115, 0.12)), *soft)
    dark = joined(
        ellipsoid((0, 0.945, 0.405), (0.05, 0.036, 0.03)), *(ball((x, 1.05, 0.305), 0.036) for x in (-0.115, 0.115))
    )
    return Subject(
        parts=(
            Part(field=body, surface=clad(product, body_paint(product, size=0.9))),
            Part(field=muzzle, surface=made_of(product.material, product.second)),
            Part(field=dark, surface=made_of("plastic", "black")),
        ),
        lower=(-0.57, 0, -0.32),
        upper=(0.57, 1.36, 0.61),
    )
