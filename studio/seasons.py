"""Seasons: petals, leaves, the shadow of a palm or snow around a product, never in front of it, and their light.

Everything is drawn in the plane of the picture, on the empty backdrop, before the product's shadow falls on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from studio.camera import Camera
from studio.fields import Floats, Vector, hypot, vector
from studio.lighting import Light
from studio.product import Season
from studio.surfaces import linear, mixed, ramp

Shape = Callable[[Floats, Floats], Floats]  # (along, across) -> below 0 inside; both run from -1 to 1

WHITE: Vector = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """What a season does to light."""

    key: Vector = WHITE  # multiplies the key lamp
    room: Vector = WHITE  # multiplies the light from everywhere
    paper: Vector = WHITE  # multiplies coloured paper


MOODS: dict[Season, Mood] = {
    "any": Mood(),
    "spring": Mood(key=(1.02, 1.0, 0.98), room=(1.04, 1.05, 1.0), paper=(1.01, 1.02, 1.0)),
    "summer": Mood(key=(1.12, 1.07, 0.97), room=(0.98, 0.99, 1.0), paper=(1.05, 1.03, 0.98)),
    "autumn": Mood(key=(1.08, 0.94, 0.78), room=(1.0, 0.95, 0.88), paper=(1.02, 0.96, 0.86)),
    "winter": Mood(key=(0.90, 0.97, 1.08), room=(0.96, 1.03, 1.14), paper=(0.94, 0.99, 1.05)),
}


def seasonal(light: Light, season: Season) -> Light:
    mood = MOODS[season]
    return replace(light, key=_times(light.key, mood.key), room=_times(light.room, mood.room))


def _times(colour: Vector, share: Vector) -> Vector:
    r, g, b = (value * factor for value, factor in zip(colour, share, strict=True))
    return r, g, b


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrap:
    """One small flat thing: a petal, a leaf, a flake, a leaflet's shadow."""

    at: tuple[float, float]  # across and down from the picture's middle, shares of its longer side
    size: float  # half its length, share of the longer side
    turn: float  # radians
    flat: float  # how much of its height is seen: 1 upright, less for what lies on the floor
    colour: Vector
    shape: Shape
    soft: float = 0.0  # blur, share of the longer side
    cover: float = 1.0


def decorated(paper: Floats, season: Season, camera: Camera, *, tinted: bool, seed: int) -> Floats:
    """Lay a season onto an empty backdrop [3, H, W]. White paper stays white: it is not `tinted`."""
    if season == "any":
        return paper
    chance = np.random.default_rng((seed, 5))
    drawn = paper * vector(MOODS[season].paper)[:, :, None] if tinted else paper.copy()
    if season == "winter":
        _lay_snow(drawn, chance)
    for scrap in _SCRAPS[season](chance, max(0.3, float(-camera.forward[1]))):
        _draw(drawn, scrap)
    return drawn


def _draw(picture: Floats, scrap: Scrap) -> None:
    """Blend one scrap into the picture, in place; what lies outside is left out."""
    height, width = picture.shape[1:]
    side = max(height, width)
    across, down = scrap.at[0] * side + width / 2, scrap.at[1] * side + height / 2
    reach = scrap.size * side + 1 + scrap.soft * side
    left, right = max(int(across - reach), 0), min(int(across + reach) + 1, width)
    top, bottom = max(int(down - reach), 0), min(int(down + reach) + 1, height)
    if left >= right or top >= bottom:
        return
    x = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - across))[None, :] / np.float32(scrap.size * side)
    y = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - down))[:, None]
    y = y / np.float32(scrap.size * side * scrap.flat)
    c, s = np.float32(np.cos(scrap.turn)), np.float32(np.sin(scrap.turn))
    edge = max(scrap.soft / scrap.size, 1.2 / (scrap.size * side))
    cover = ramp(0.0, -scrap.shape(c * x + s * y, c * y - s * x), edge) * np.float32(scrap.cover)
    under = picture[:, top:bottom, left:right]
    under += (vector(scrap.colour)[:, :, None] - under) * cover


def _oval(along: Floats, across: Floats) -> Floats:
    return hypot(along, across * np.float32(1.7)) - np.float32(1)


def _disc(along: Floats, across: Floats) -> Floats:
    return hypot(along, across) - np.float32(1)


def _blade(along: Floats, across: Floats) -> Floats:
    """A pointed leaf."""
    return np.asarray(np.abs(across) - np.float32(0.42) * (1 - along * along))


def _leaflet(along: Floats, across: Floats) -> Floats:
    return np.asarray(np.abs(across) - np.float32(0.13) * (1 - along * along))


def _rib(along: Floats, across: Floats) -> Floats:
    return np.maximum(np.abs(across) - np.float32(0.035), np.abs(along) - np.float32(0.92))


def _scattered(
    chance: np.random.Generator, count: int, flat: float
) -> Iterator[tuple[tuple[float, float], float, float]]:
    """Places on the floor (a third) and in the air: (place, turn, flatness)."""
    for number in range(count):
        x, y, turn = (float(value) for value in chance.random(3))
        lying = number % 3 != 0
        yield (x * 1.04 - 0.52, 0.16 + 0.32 * y if lying else 0.46 * y - 0.46), turn * 6.2832, flat if lying else 0.8


def _petals(chance: np.random.Generator, flat: float) -> Iterator[Scrap]:
    colours = [linear(name) for name in ("#f7b7c8", "#fbdce3", "#ef8fae", "#fdf1f3")]
    for number, (at, turn, seen) in enumerate(_scattered(chance, 26, flat)):
        size = 0.020 + 0.014 * float(chance.random())
        if number % 5 == 4:
            yield Scrap(at=at, size=size * 1.3, turn=turn, flat=seen, colour=linear("#7fa65a"), shape=_blade)
            continue
        yield from _with_shadow(
            Scrap(at=at, size=size, turn=turn, flat=seen, colour=colours[number % 4], shape=_oval),
            lying=number % 3 != 0,
        )


def _leaves(chance: np.random.Generator, flat: float) -> Iterator[Scrap]:
    colours = [linear(name) for name in ("#c8571f", "#e0952b", "#9c3b1c", "#d9b23a", "#8a5a2b")]
    for number, (at, turn, seen) in enumerate(_scattered(chance, 20, flat)):
        size, colour = 0.042 + 0.022 * float(chance.random()), colours[number % 5]
        leaf = Scrap(at=at, size=size, turn=turn, flat=seen, colour=colour, shape=_blade)
        yield from _with_shadow(leaf, lying=number % 3 != 0)
        yield replace(leaf, shape=_rib, colour=mixed(colour, (0.05, 0.02, 0.0), 0.5))


def _with_shadow(scrap: Scrap, *, lying: bool) -> Iterator[Scrap]:
    if lying:
        at = (scrap.at[0] + 0.008, scrap.at[1] + 0.008)
        yield replace(scrap, at=at, colour=(0.08, 0.07, 0.07), soft=0.012, cover=0.28)
    yield scrap


def _fronds(chance: np.random.Generator, _flat: float) -> Iterator[Scrap]:
    """The shadows of two palm leaves, from a corner above."""
    side = 1.0 if chance.random() < 0.5 else -1.0
    for number in range(2):
        start = (side * (0.56 - 0.30 * number), -0.56)
        heading = 2.25 - 0.55 * number + 0.25 * float(chance.random())
        for step in range(1, 11):
            along = 0.075 * step
            bend = heading - 0.04 * step
            x, y = start[0] + side * along * float(np.cos(bend)), start[1] + along * float(np.sin(bend))
            for hand in (-1.0, 1.0):
                angle = bend + hand * (0.95 - 0.05 * step)
                half = 0.16 * float(np.sin(0.28 * step + 0.3))
                at = (x + side * half * float(np.cos(angle)), y + half * float(np.sin(angle)))
                turn = angle if side > 0 else np.pi - angle
                yield Scrap(
                    at=at,
                    size=half,
                    turn=turn,
                    flat=1.0,
                    colour=(0.16, 0.17, 0.20),
                    shape=_leaflet,
                    soft=0.010,
                    cover=0.45,
                )


def _flakes(chance: np.random.Generator, _flat: float) -> Iterator[Scrap]:
    for x, y, near in chance.random((46, 3)):
        size, soft = 0.004 + 0.012 * near**3, 0.003 + 0.012 * near**3
        at = (x * 1.04 - 0.52, y * 0.9 - 0.5)
        yield Scrap(at=at, size=size + soft, turn=0.0, flat=1.0, colour=WHITE, shape=_disc, soft=soft * 2, cover=0.9)


_SCRAPS: dict[Season, Callable[[np.random.Generator, float], Iterator[Scrap]]] = {
    "spring": _petals,
    "summer": _fronds,
    "autumn": _leaves,
    "winter": _flakes,
}


def _lay_snow(picture: Floats, chance: np.random.Generator) -> None:
    """Cover the floor with two drifts, the nearer one brighter, in place."""
    height, width = picture.shape[1:]
    side = max(height, width)
    across = ((np.arange(width, dtype=np.float32) + np.float32(0.5 - width / 2)) / np.float32(side))[None, :]
    down = ((np.arange(height, dtype=np.float32) + np.float32(0.5 - height / 2)) / np.float32(side))[:, None]
    for level, colour in ((0.02, linear("#d7e3f0")), (0.12, linear("#eef4fb"))):
        first, second, third = (np.float32(6.2832 * value) for value in chance.random(3))
        crest = np.float32(0.020) * np.sin(across * 7 + first) + np.float32(0.012) * np.sin(across * 17 + second)
        crest = crest + np.float32(0.004) * np.sin(across * 41 + third) + np.float32(level)
        cover = ramp(0.0, down - crest, 0.012) * np.float32(0.94)
        # A drift is bright along its crest and bluer below.
        shade = 1 - np.float32(0.22) * np.clip((down - crest) * 3, 0, 1)
        body = vector(colour)[:, :, None] * (shade + vector((0.0, 0.02, 0.06))[:, :, None] * (1 - shade))
        picture += (body - picture) * cover
