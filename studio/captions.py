"""Plain sentences that say what a picture shows: every word of its attributes, in one of several orders."""

from __future__ import annotations

from random import Random

from studio.product import BackgroundName, Kind, LightName, Pattern, Product, Proportions, Season, ViewName

FORMS: dict[Kind, tuple[str, ...]] = {
    "bag": ("handbag", "tote bag", "carrier bag"),
    "book": ("book", "stack of books"),
    "bottle": ("flask bottle", "corked bottle", "pump bottle"),
    "box": ("carton box", "cube box", "lidded box"),
    "candle": ("candle in a jar", "pillar candle", "candle in a tin"),
    "lamp": ("mushroom lamp", "table lamp", "globe lamp"),
    "mug": ("straight mug", "round mug", "cup-shaped mug"),
    "stool": ("three-legged stool", "bar stool"),
    "teapot": ("teapot",),
    "toy": ("toy of stacked rings", "toy ball", "toy duck", "toy bear"),
    "vase": ("slender vase", "shouldered vase", "bowl vase"),
    "chair": ("dining chair", "shell chair", "armchair"),
    "cushion": ("square cushion", "round cushion", "bolster cushion"),
    "shoe": ("laced shoe", "ankle-boot shoe", "rain-boot shoe"),
    "watch": ("round watch", "square watch", "sports watch"),
}
PATTERNS: dict[Pattern, str] = {
    "plain": "in plain {colour}",
    "stripes": "in {colour} with {second} stripes",
    "dots": "in {colour} with {second} dots",
    "band": "in {colour} with a {second} band",
    "label": "in {colour} with a {second} label",
    "fluted": "in fluted {colour}",
    "speckled": "in {colour}, speckled with {second}",
    "checks": "in {colour} and {second} checks",
}
PROPORTIONS: dict[Proportions, str] = {"regular": "regular", "tall": "tall", "wide": "wide"}
VIEWS: dict[ViewName, str] = {
    "front": "from the front",
    "left": "from the left",
    "right": "from the right",
    "above": "from above",
}
LIGHTS: dict[LightName, str] = {
    "soft-left": "in soft light from the left",
    "soft-right": "in soft light from the right",
    "overhead": "in overhead light",
    "window": "in window light",
    "evening": "in evening light",
}
BACKGROUNDS: dict[BackgroundName, str] = {"none": "cut out, with no background", "white": "on pure white"}
SEASONS: dict[Season, str] = {
    "any": "",
    "spring": "among spring petals",
    "summer": "under a summer palm",
    "autumn": "among autumn leaves",
    "winter": "in winter snow",
}
ORDERS = (
    "A {size}{material} {form} {pattern}, seen {view}, {ground}{season}, {light}.",
    "{View}: a {size}{material} {form} {pattern}, {ground}{season} and {light}.",
    "Product picture of a {size}{form} of {material} {pattern}, {light}, {ground}{season}, {view}.",
    "A {size}{form} {pattern}, made of {material}, {ground}{season}; photographed {view} {light}.",
)


def caption(product: Product) -> str:
    """Describe a product in one sentence. The same product has the same sentence; its seed picks the order."""
    names = FORMS[product.kind]
    view = VIEWS[product.view.name]
    size = "" if product.proportions == "regular" else f"{PROPORTIONS[product.proportions]} "
    season = SEASONS[product.season]
    text = ORDERS[int(Random(f"caption {product.seed}").random() * len(ORDERS))].format(
        size=size,
        material=product.material,
        form=names[product.shape % len(names)],
        pattern=PATTERNS[product.pattern].format(colour=product.colour, second=product.second),
        view=view,
        View=view.capitalize(),
        light=LIGHTS[product.light],
        ground=BACKGROUNDS.get(product.background, f"on {product.background} paper"),
        season=season and f" {season}",
    )
    return text.replace(" a a", " an a").replace("A a", "An a")
