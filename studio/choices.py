"""What goes with what: the materials, patterns and views in which each form of a kind shows what its words say.

A drawn set keeps to these, so that every word of a row can be seen in its picture: no checks on bare steel, no
"from the left" of a vase that is the same all round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.backdrop import BACKDROPS
from studio.fields import Vector
from studio.palette import BARE_METALS, COLOURS
from studio.product import BackgroundName, Colour, Kind, Material, Pattern, Product, Proportions, Season, ViewName


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a kind."""

    shape: int
    materials: tuple[Material, ...]
    patterns: tuple[Pattern, ...]
    views: tuple[ViewName, ...] = ("front", "left", "right", "above")
    proportions: tuple[Proportions, ...] = ("regular", "tall", "wide")
    seconds: tuple[Colour, ...] = ("cream", "white", "black", "navy", "forest", "coral", "mustard", "sky", "blush")


ROUND: tuple[ViewName, ...] = ("front", "above")  # of what looks the same from all sides
PAINTED: tuple[Pattern, ...] = ("plain", "stripes", "dots", "band", "speckled", "checks")
WOVEN: tuple[Pattern, ...] = ("plain", "stripes", "dots", "checks")
PALE: tuple[Colour, ...] = ("cream", "white", "blush")

FORMS: dict[Kind, tuple[Form, ...]] = {
    "bag": (
        Form(0, ("leather", "cloth"), WOVEN),
        Form(1, ("cloth", "leather"), (*WOVEN, "band", "label")),
        Form(2, ("paper", "plastic"), (*WOVEN, "band", "label")),
    ),
    "book": (Form(0, ("cloth", "leather"), (*WOVEN, "band")), Form(1, ("paper",), ("plain",))),
    "bottle": (
        Form(0, ("metal", "plastic"), (*PAINTED, "label"), ROUND),
        Form(1, ("glass", "ceramic"), (*PAINTED, "label"), ROUND),
        Form(2, ("plastic", "glass"), (*PAINTED, "label")),
    ),
    "box": tuple(
        Form(shape, ("cardboard", "metal", "wood"), ("plain", "dots", "checks", "label", "band")) for shape in range(3)
    ),
    "candle": (
        Form(0, ("wax",), ("plain", "label"), ROUND),
        Form(1, ("wax",), PAINTED, ROUND, seconds=("brass", "steel")),
        Form(2, ("metal",), ("plain", "label")),
    ),
    "lamp": (
        Form(0, ("plastic", "metal"), ("plain", "stripes", "dots", "checks"), ROUND, seconds=PALE),
        Form(1, ("ceramic", "wood", "metal"), PAINTED, ROUND, seconds=PALE),
        Form(2, ("metal",), ("plain",), ROUND),
    ),
    "mug": tuple(Form(shape, ("ceramic", "metal", "glass"), PAINTED) for shape in range(3)),
    "stool": (
        Form(0, ("wood", "plastic", "metal"), ("plain",), ROUND),
        Form(1, ("cloth", "leather"), ("plain",), ROUND, seconds=("walnut", "oak", "black")),
    ),
    "teapot": (Form(0, ("ceramic", "metal"), PAINTED),),
    "toy": (
        Form(1, ("plastic",), ("stripes",), ROUND, ("regular",)),
        Form(2, ("plastic",), ("plain",), seconds=("coral", "mustard")),
        Form(3, ("cloth",), (*WOVEN, "speckled"), seconds=("cream", "white", "blush", "tan")),
    ),
    "vase": tuple(
        Form(shape, ("ceramic", "glass", "metal", "wood"), (*PAINTED, "fluted"), ROUND) for shape in range(3)
    ),
    "chair": (
        Form(0, ("wood", "metal", "plastic"), ("plain",)),
        Form(1, ("plastic", "leather"), PAINTED),
        Form(2, ("cloth", "leather"), WOVEN),
    ),
    "cushion": (
        Form(0, ("cloth", "leather"), PAINTED),
        Form(1, ("cloth", "leather"), PAINTED),
        Form(2, ("cloth", "leather"), WOVEN),
    ),
    "shoe": (
        Form(0, ("cloth", "leather"), PAINTED),
        Form(1, ("leather", "cloth"), ("plain", "dots", "checks")),
        Form(2, ("plastic",), PAINTED),
    ),
    "watch": tuple(Form(shape, ("leather", "metal", "cloth"), ("plain", "stripes", "dots")) for shape in range(3)),
}

WOODS: tuple[Colour, ...] = ("oak", "walnut", "tan")
TINTS: tuple[Colour, ...] = ("amber", "olive", "forest", "sky", "teal", "lavender", "blush", "coral", "sage")
_OF_THEIR_OWN = ("brass", "steel", "oak")  # colours that are names of materials
DYES: tuple[Colour, ...] = tuple(colour for colour in COLOURS if colour not in _OF_THEIR_OWN)

CONTRAST = 0.36  # between a pattern's colours; see `apart`. Chosen: stripes are plain to see at 64 px
DISTINCT = 0.14  # between a product and its backdrop


def colours_of(material: Material) -> tuple[Colour, ...]:
    """The colours in which a material looks like itself: wood shows its grain, metal is bare."""
    if material == "wood":
        return WOODS
    if material == "metal":
        return BARE_METALS
    return TINTS if material == "glass" else DYES


def patterns_of(form: Form, material: Material) -> tuple[Pattern, ...]:
    """The patterns of a form in one material. A pattern is painted, and paint hides metal."""
    if material == "metal":
        return tuple(pattern for pattern in form.patterns if pattern in ("plain", "label", "fluted"))
    return form.patterns


def seconds_of(form: Form, colour: Colour) -> tuple[Colour, ...]:
    """The second colours of a form that stand out from the first, or the one that stands out the most."""
    clear = tuple(second for second in form.seconds if apart(COLOURS[second], COLOURS[colour]) >= CONTRAST)
    return clear or (max(form.seconds, key=lambda second: apart(COLOURS[second], COLOURS[colour])),)


def backgrounds_of(colour: Colour) -> tuple[BackgroundName, ...]:
    """The backdrops from which a product of this colour stands out."""
    return tuple(name for name, backdrop in BACKDROPS.items() if apart(backdrop.colour, COLOURS[colour]) >= DISTINCT)


def apart(first: Vector, second: Vector) -> float:
    """How far two colours are from one another: 0 equal, 1.7 black and white. Roots of linear light."""
    return float(np.linalg.norm(np.sqrt(first) - np.sqrt(second)))


def suits(product: Product) -> bool:
    """Whether every word of a product can be seen in its picture."""
    forms = [form for form in FORMS[product.kind] if form.shape == product.shape]
    return any(
        product.material in form.materials
        and product.pattern in patterns_of(form, product.material)
        and product.colour in colours_of(product.material)
        and product.second in seconds_of(form, product.colour)
        and product.proportions in form.proportions
        and product.view.name in form.views
        and product.background in backgrounds_of(product.colour)
        and product.season in seasons_of(product.background)
        for form in forms
    )


SEASONS: tuple[Season, ...] = ("any", "spring", "summer", "autumn", "winter")


def seasons_of(background: BackgroundName) -> tuple[Season, ...]:
    """The seasons that a backdrop can show: a cut-out has nowhere for leaves to fall."""
    return ("any",) if background == "none" else SEASONS
