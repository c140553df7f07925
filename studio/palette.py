"""The studio's colours and materials, by the names that products carry."""

from __future__ import annotations

from dataclasses import replace

from studio.fields import Vector
from studio.product import Colour, Material
from studio.surfaces import Paint, Surface, linear, plain

COLOURS: dict[Colour, Vector] = {
    "amber": linear("#d8882a"),
    "black": linear("#2b2a2d"),
    "blush": linear("#e3aa9e"),
    "brass": linear("#d9b56a"),
    "coral": linear("#e8694f"),
    "cream": linear("#f1e7d3"),
    "denim": linear("#4a6a94"),
    "forest": linear("#2f5d46"),
    "graphite": linear("#4b4e55"),
    "kraft": linear("#bd9468"),
    "lavender": linear("#a799cf"),
    "mustard": linear("#dda42f"),
    "navy": linear("#26375e"),
    "oak": linear("#cda572"),
    "olive": linear("#7c8246"),
    "rust": linear("#a84f2c"),
    "sage": linear("#93a98a"),
    "sky": linear("#7fb4d6"),
    "steel": linear("#c9ccd0"),
    "tan": linear("#b57c4c"),
    "teal": linear("#1f8a8c"),
    "terracotta": linear("#c4683f"),
    "walnut": linear("#7a4f33"),
    "white": linear("#f4f3ef"),
}

_NOTHING = plain((0.0, 0.0, 0.0))

MATERIALS: dict[Material, Surface] = {
    "cardboard": Surface(paint=_NOTHING, roughness=0.85, reflectance=0.03, grain=0.04, grain_size=0.012),
    "ceramic": Surface(paint=_NOTHING, roughness=0.2, reflectance=0.045),
    "cloth": Surface(paint=_NOTHING, roughness=0.95, reflectance=0.02, sheen=0.22, grain=0.2, grain_size=0.008),
    "glass": Surface(paint=_NOTHING, roughness=0.06, reflectance=0.05, glass=True),
    "leather": Surface(paint=_NOTHING, roughness=0.5, reflectance=0.04, grain=0.22, grain_size=0.02),
    "metal": Surface(paint=_NOTHING, roughness=0.3, metal=True),
    "paper": Surface(paint=_NOTHING, roughness=0.85, reflectance=0.03),
    "plastic": Surface(paint=_NOTHING, roughness=0.38, reflectance=0.04),
    "wax": Surface(paint=_NOTHING, roughness=0.55, reflectance=0.035, sheen=0.18),
    "wood": Surface(paint=_NOTHING, roughness=0.55, reflectance=0.035, grain=0.05, grain_size=0.03),
}


BARE_METALS: tuple[Colour, ...] = ("brass", "graphite", "steel")  # metal of any other colour is lacquered
LACQUER = Surface(paint=_NOTHING, roughness=0.3, reflectance=0.06)


def made_of(material: Material, paint: Paint | Colour) -> Surface:
    """A material in one colour or under a paint. Metal under a paint is lacquered, like metal of any other
    colour.
    """
    if isinstance(paint, str):
        bare = material == "metal" and paint in BARE_METALS
        return replace(MATERIALS[material] if bare or material != "metal" else LACQUER, paint=plain(COLOURS[paint]))
    return replace(LACQUER if material == "metal" else MATERIALS[material], paint=paint)
