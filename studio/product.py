"""What can be asked of the studio: a product and how it is photographed, as plain words and a few numbers.

These words are the interface: they are columns of manifests and the conditions of generators. Pictures follow
from the attributes alone. A word, once here, keeps its meaning; new ones are added at the end of their list, so
that a word's place in `VOCABULARY` stays what it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal[
    "bag", "book", "bottle", "box", "candle", "lamp", "mug", "stool", "teapot", "toy", "vase",
    "chair", "cushion", "shoe", "watch",
]  # fmt: skip
Colour = Literal[
    "amber", "black", "blush", "brass", "coral", "cream", "denim", "forest", "graphite", "kraft", "lavender",
    "mustard", "navy", "oak", "olive", "rust", "sage", "sky", "steel", "tan", "teal", "terracotta",
    "walnut", "white",
]  # fmt: skip
Material = Literal["cardboard", "ceramic", "cloth", "glass", "leather", "metal", "paper", "plastic", "wax", "wood"]
Pattern = Literal["plain", "stripes", "dots", "band", "label", "fluted", "speckled", "checks"]
Proportions = Literal["regular", "tall", "wide"]
ViewName = Literal["front", "left", "right", "above"]
LightName = Literal["soft-left", "soft-right", "overhead", "window", "evening"]
BackgroundName = Literal[
    "white", "none", "linen", "grey", "sage", "blush", "sky", "sand", "slate", "butter", "lilac"
]  # fmt: skip
Season = Literal["any", "spring", "summer", "autumn", "winter"]

VOCABULARY: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "colour": get_args(Colour),
    "material": get_args(Material),
    "pattern": get_args(Pattern),
    "proportions": get_args(Proportions),
    "view": get_args(ViewName),
    "light": get_args(LightName),
    "background": get_args(BackgroundName),
    "season": get_args(Season),
}

ABOVE = 30.0  # degrees of elevation from which a view is called "above"
ASIDE = 15.0  # degrees of azimuth from which a view is called "left" or "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Where the camera stands, and how much of the picture the product spans."""

    azimuth: float = 0.0  # degrees to the right of the product's front
    elevation: float = 12.0  # degrees above the ground, 1 to 60
    fill: float = 0.66  # share of the picture's tighter side, 0.2 to 1

    @property
    def name(self) -> ViewName:
        """The word for where the camera stands."""
        if self.elevation >= ABOVE:
            return "above"
        if abs(self.azimuth) < ASIDE:
            return "front"
        return "right" if self.azimuth > 0 else "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product and the way it is photographed."""

    kind: Kind
    colour: Colour
    material: Material
    pattern: Pattern = "plain"
    shape: int = 0  # which of the kind's forms, counted round: the number of forms differs from kind to kind
    second: Colour = "cream"  # of stripes, labels, insides
    proportions: Proportions = "regular"
    view: View = field(default_factory=View)
    light: LightName = "soft-left"
    background: BackgroundName = "linen"
    season: Season = "any"
    seed: int = 0  # of what is left to chance: specks, fibres, the sketch on a label, where leaves have fallen

    @property
    def attributes(self) -> dict[str, str]:
        """The words for this product, one for each entry of `VOCABULARY` and in its order."""
        return {
            "kind": self.kind,
            "colour": self.colour,
            "material": self.material,
            "pattern": self.pattern,
            "proportions": self.proportions,
            "view": self.view.name,
            "light": self.light,
            "background": self.background,
            "season": self.season,
        }
