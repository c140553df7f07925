"""Lamps and stools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from studio.fields import Field, Floats, ball, common, disc, joined, melted, ring, rod, vector
from studio.kinds.patterns import clad, ground, round_paint
from studio.palette import COLOURS, made_of
from studio.product import Product
from studio.profiles import Outline, curve, spun
from studio.subject import Subject
from studio.surfaces import Paint, Part, Spots, mixed


def lamp(product: Product) -> Subject:
    """0: a mushroom lamp. 1: a cloth shade on a turned foot. 2: a globe on a brass stem."""
    return (_mushroom, _shaded, _globe)[product.shape % 3](product)


def _glow(colour: Floats, strength: float, centre: float, reach: float) -> Paint:
    """The light of a bulb through a shade: brightest at the bulb's height."""

    def glow(spots: Spots) -> Floats:
        away = (spots.points[1] - np.float32(centre)) / np.float32(reach)
        return np.asarray(colour * (np.float32(strength) * np.exp(-away * away)), np.float32)

    return glow


def _warm(colour: str) -> Floats:
    base = COLOURS[colour]  # type: ignore[index]
    return vector(mixed(base, (1.0, 0.72, 0.38), 0.55))


def _mushroom(product: Product) -> Subject:
    cap_line = curve(
        [
            (0, 1.30),
            (0.30, 1.27),
            (0.54, 1.12),
            (0.66, 0.88),
            (0.67, 0.82),
            (0.655, 0.80),
            (0.655, 0.80),
            (0.60, 0.82),
            (0.45, 0.90),
            (0, 0.96),
        ]
    )
    foot_line = curve(
        [
            (0, 0),
            (0.34, 0),
            (0.34, 0),
            (0.37, 0.03),
            (0.35, 0.07),
            (0.20, 0.16),
            (0.14, 0.40),
            (0.15, 0.70),
            (0.20, 0.92),
        ]
    )
    cap_surface = clad(product, round_paint(product, radius=0.6, tall=1.3))
    foot = Part(
        field=spun((*foot_line, (0.0, 0.92))),
        surface=replace(made_of(product.material, product.second), glow=_glow(_warm(product.second), 0.55, 0.86, 0.22)),
    )
    return Subject(
        parts=(Part(field=spun(cap_line), surface=cap_surface), foot),
        lower=(-0.67, 0, -0.67),
        upper=(0.67, 1.31, 0.67),
    )


def _shaded(product: Product) -> Subject:
    foot_line = curve(
        [
            (0, 0),
            (0.25, 0),
            (0.25, 0),
            (0.28, 0.03),
            (0.34, 0.22),
            (0.32, 0.42),
            (0.16, 0.58),
            (0.06, 0.64),
            (0.05, 0.66),
        ]
    )
    foot = Part(
        field=spun((*foot_line, (0.0, 0.66))),
        surface=clad(product, round_paint(product, radius=0.33, tall=0.66)),
    )
    neck = Part(field=rod((0, 0.6, 0), (0, 0.9, 0), 0.028), surface=made_of("metal", "brass"))
    shade_line: Outline = ((0.565, 0.80), (0.385, 1.45), (0.345, 1.45), (0.525, 0.80), (0.565, 0.80))
    cloth = replace(made_of("cloth", product.second), glow=_glow(_warm(product.second), 0.5, 1.05, 0.34))
    shade = Part(field=spun(shade_line), surface=cloth)
    return Subject(parts=(foot, neck, shade), lower=(-0.565, 0, -0.565), upper=(0.565, 1.46, 0.565))


def _globe(product: Product) -> Subject:
    foot = disc((0, 0.035, 0), 0.34, 0.035, 0.012)
    stem = melted(foot, rod((0, 0.05, 0), (0, 0.72, 0), 0.028), 0.06)
    cup = spun(curve([(0, 0.68), (0.05, 0.68), (0.16, 0.73), (0.20, 0.82), (0.20, 0.82), (0.0, 0.80)]))
    opal = replace(made_of("ceramic", "cream"), glow=_glow(vector((1.0, 0.66, 0.32)), 0.5, 1.05, 0.6))
    return Subject(
        parts=(
            Part(field=joined(stem, cup), surface=made_of("metal", product.colour)),
            Part(field=ball((0, 1.15, 0), 0.42), surface=opal),
        ),
        lower=(-0.42, 0, -0.42),
        upper=(0.42, 1.57, 0.42),
    )


COVERS = ("cloth", "leather")  # of a stool's cushion: its legs are of wood


def stool(product: Product) -> Subject:
    """0: three splayed legs and a round seat. 1: four legs, a ring and a cushion."""
    legs = (3, 4)[product.shape % 2]
    tall, spread = (1.0, 1.15)[product.shape % 2], 0.42
    frame = _legs(legs, tall, spread)
    wood = replace(product, material="wood" if product.material in COVERS else product.material, pattern="plain")
    surface = clad(wood, ground(wood))
    if legs == 3:
        seat = disc((0, tall + 0.03, 0), 0.50, 0.055, 0.03)
        return Subject(
            parts=(Part(field=frame, surface=surface), Part(field=seat, surface=surface)),
            lower=(-0.52, 0, -0.52),
            upper=(0.52, tall + 0.09, 0.52),
        )
    frame = joined(frame, ring((0, 0.38, 0), spread * 0.86, 0.022), disc((0, tall, 0), 0.40, 0.035, 0.015))
    cushion = disc((0, tall + 0.10, 0), 0.43, 0.085, 0.08)
    return Subject(
        parts=(
            Part(field=frame, surface=surface),
            Part(field=cushion, surface=made_of(product.material, product.second)),
        ),
        lower=(-0.47, 0, -0.47),
        upper=(0.47, tall + 0.19, 0.47),
    )


def _legs(count: int, tall: float, spread: float) -> Field:
    angles = [2 * np.pi * (n + 0.62) / count for n in range(count)]
    rods = [
        rod(
            (spread * float(np.sin(a)), 0.028, spread * float(np.cos(a))),
            (0.62 * spread * float(np.sin(a)), tall, 0.62 * spread * float(np.cos(a))),
            0.032,
            0.046,
        )
        for a in angles
    ]
    above_ground = disc((0, 1.0, 0), 2.0, 1.0, 0.0)
    return common(joined(*rods), above_ground)
