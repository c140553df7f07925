"""What can be asked of the studio: a product and how it is photographed, as plain attributes.

These words are the interface: they are columns of the sample's manifest and will be the conditions of
generators. Pictures follow from the attributes alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["bag", "book", "bottle", "box", "candle", "lamp", "mug", "stool", "teapot", "toy", "vase"]
Colour = Literal[
    "amber", "black", "blush", "brass", "coral", "cream", "denim", "forest", "graphite", "kraft", "lavender",
    "mustard", "navy", "oak", "olive", "rust", "sage", "sky", "steel", "tan", "teal", "terracotta",
    "walnut", "white",
]  # fmt: skip
Material = Literal["cardboard", "ceramic", "cloth", "glass", "leather", "metal", "paper", "plastic", "wax", "wood"]
Pattern = Literal["plain", "stripes", "dots", "band", "label", "fluted", "speckled"]
LightName = Literal["soft-left", "soft-right", "overhead", "window", "evening"]
BackgroundName = Literal[
    "white", "none", "linen", "grey", "sage", "blush", "sky", "sand", "slate", "butter", "lilac"
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Where the camera stands, and how much of the picture the product spans."""

    azimuth: float = 0.0  # degrees to the right of the product's front
    elevation: float = 12.0  # degrees above the ground, 1 to 60
    fill: float = 0.66  # share of the picture's tighter side, 0.2 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product and the way it is photographed."""

    kind: Kind
    colour: Colour
    material: Material
    pattern: Pattern = "plain"
    shape: int = 0  # which of the kind's forms, counted round: the number of forms differs from kind to kind
    second: Colour = "cream"  # of stripes, labels, insides
    view: View = field(default_factory=View)
    light: LightName = "soft-left"
    background: BackgroundName = "linen"
    seed: int = 0  # of what is left to chance: specks, fibres, the sketch on a label
