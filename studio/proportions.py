"""Stretch a whole product, taller or wider, with its paint on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from studio.fields import Field, Floats, Vector, vector
from studio.product import Proportions
from studio.subject import Subject
from studio.surfaces import Paint, Part, Spots, Surface

# Across, up, deep. Tall to wide is nearly two to one in slenderness: plain to see beside one another, and a mug
# still holds its handle.
STRETCHES: dict[Proportions, Vector] = {
    "regular": (1.0, 1.0, 1.0),
    "tall": (0.88, 1.20, 0.88),
    "wide": (1.16, 0.84, 1.16),
}


def proportioned(subject: Subject, proportions: Proportions) -> Subject:
    """Stretch a subject about the point of the ground it stands on."""
    if proportions == "regular":
        return subject
    shares = STRETCHES[proportions]
    return Subject(
        parts=tuple(_part(part, shares) for part in subject.parts),
        lower=_stretched(subject.lower, shares),
        upper=_stretched(subject.upper, shares),
    )


def _stretched(at: Vector, shares: Vector) -> Vector:
    x, y, z = (value * share for value, share in zip(at, shares, strict=True))
    return x, y, z


def _part(part: Part, shares: Vector) -> Part:
    surface = part.surface
    glow = None if surface.glow is None else _painted(surface.glow, shares)
    stretched: Surface = replace(surface, paint=_painted(surface.paint, shares), glow=glow)
    return Part(field=_field(part.field, shares), surface=stretched)


def _field(shape: Field, shares: Vector) -> Field:
    inverse, least = np.reciprocal(vector(shares)), np.float32(min(shares))
    return lambda points: shape(points * inverse) * least  # never larger than the true distance


def _painted(paint: Paint, shares: Vector) -> Paint:
    """Paint as before the stretch: patterns stretch with the product."""
    scale, inverse = vector(shares), np.reciprocal(vector(shares))

    def stretched(spots: Spots) -> Floats:
        ways = spots.normals * scale
        ways = ways / np.sqrt((ways * ways).sum(0))
        return paint(Spots(points=spots.points * inverse, normals=ways, footprint=spots.footprint))

    return stretched
