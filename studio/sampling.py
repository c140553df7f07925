"""Products at random, each from a seed and its number alone, so that picture 77 is the same tomorrow."""

from __future__ import annotations

from random import Random
from typing import TypeVar, get_args

from studio.choices import (
    FORMS,
    Form,
    backgrounds_of,
    colours_of,
    patterns_of,
    seasons_of,
    seconds_of,
)
from studio.product import Kind, LightName, Product, View, ViewName

Word = TypeVar("Word")

# Degrees within which each view lies: (azimuth from, to), (elevation from, to).
VIEWS: dict[ViewName, tuple[tuple[float, float], tuple[float, float]]] = {
    "front": ((-8, 8), (6, 18)),
    "left": ((-42, -22), (8, 20)),
    "right": ((22, 42), (8, 20)),
    "above": ((-14, 14), (36, 50)),
}
FILL = (0.66, 0.84)  # share of the picture that a product spans


def sample(number: int, *, seed: int) -> Product:
    """Draw product `number` of the set that `seed` names: kinds in turn, everything else at random.

    Every fifteen numbers in a row hold each kind once. Nothing is remembered: any number may be asked for in
    any order, in any process.
    """
    # `random()` of a seed that is a string is the one thing that Python promises never to change.
    chance = Random(f"studio {seed} {number}")
    kinds = get_args(Kind)
    kind: Kind = kinds[number % len(kinds)]
    form = _pick(chance, FORMS[kind])
    material = _pick(chance, form.materials)
    pattern = _pick(chance, patterns_of(form, material))
    colour = _pick(chance, colours_of(material))
    background = _pick(chance, backgrounds_of(colour))
    return Product(
        kind=kind,
        colour=colour,
        material=material,
        pattern=pattern,
        shape=form.shape,
        second=_pick(chance, seconds_of(form, colour)),
        proportions=_pick(chance, form.proportions),
        view=_view(chance, form),
        light=_pick(chance, get_args(LightName)),
        background=background,
        season=_pick(chance, seasons_of(background)),
        seed=int(chance.random() * 2**31),
    )


def _pick(chance: Random, words: tuple[Word, ...]) -> Word:
    return words[int(chance.random() * len(words))]


def _view(chance: Random, form: Form) -> View:
    (left, right), (low, high) = VIEWS[_pick(chance, form.views)]
    return View(
        azimuth=_between(chance, left, right),
        elevation=_between(chance, low, high),
        fill=_between(chance, *FILL),
    )


def _between(chance: Random, low: float, high: float) -> float:
    return round(low + (high - low) * chance.random(), 3)
