"""What else people call words such as the studio's: for sentences that a network learns to read.

A broad name of a colour, such as blue, counts as the nearest of the palette. What nothing here comes near, such as a
tartan, has no phrase: a reader is to say that it was not said.
"""

from __future__ import annotations

from collections.abc import Mapping

Phrases = Mapping[str, tuple[str, ...]]
"""By word."""

NOUNS: Phrases = {
    "bag": ("bag", "bag", "handbag", "tote bag", "carrier bag", "bag", "tote", "shopper", "paper bag", "shoulder bag",
            "purse", "carrier", "shopping bag"),
    "book": ("book", "book", "book", "stack of books", "hardcover", "novel", "paperback", "notebook", "books",
             "hardback"),
    "bottle": ("bottle", "bottle", "flask bottle", "corked bottle", "pump bottle", "bottle", "flask", "water bottle",
               "soap dispenser", "thermos", "drinking bottle"),
    "box": ("box", "box", "carton box", "cube box", "lidded box", "carton", "gift box", "shoe box", "package",
            "storage box", "packaging"),
    "candle": ("candle", "candle", "candle in a jar", "pillar candle", "candle in a tin", "candles", "scented candle",
               "tealight", "pillar candle"),
    "lamp": ("lamp", "lamp", "mushroom lamp", "table lamp", "globe lamp", "desk lamp", "light fixture",
             "bedside lamp", "lamps"),
    "mug": ("mug", "mug", "straight mug", "round mug", "cup-shaped mug", "cup", "coffee mug", "coffee cup", "tea mug",
            "mugs", "teacup"),
    "stool": ("stool", "stool", "three-legged stool", "bar stool", "barstool", "stools", "milking stool",
              "footstool"),
    "teapot": ("teapot", "teapot", "teapot", "tea pot", "pot for tea", "teapots"),
    "toy": ("toy", "toy", "toy of stacked rings", "toy ball", "toy duck", "toy bear", "soft toy", "teddy",
            "teddy bear", "bath duck", "rubber duck", "beach ball", "plush toy", "ball"),
    "vase": ("vase", "vase", "slender vase", "shouldered vase", "bowl vase", "flower vase", "vases", "bud vase",
             "bowl"),
    "chair": ("chair", "chair", "dining chair", "shell chair", "armchair", "chairs", "armchair", "seat",
              "kitchen chair", "office chair"),
    "cushion": ("cushion", "cushion", "square cushion", "round cushion", "bolster cushion", "pillow", "cushions",
                "throw pillow", "scatter cushion"),
    "shoe": ("shoe", "shoe", "laced shoe", "ankle-boot shoe", "rain-boot shoe", "shoes", "sneaker", "sneakers",
             "trainers", "boots", "boot", "trainer", "wellies"),
    "watch": ("watch", "watch", "round watch", "square watch", "sports watch", "wristwatch", "watches", "wrist watch",
              "timepiece"),
}  # fmt: skip

COLOURS: Phrases = {
    "amber": ("amber", "amber", "honey", "orange", "golden orange"),
    "black": ("black", "black", "jet black", "matt black", "matte black"),
    "blush": ("blush", "blush", "blush pink", "pale pink", "light pink", "pink", "rose"),
    "brass": ("brass", "brass", "gold", "golden", "brassy"),
    "coral": ("coral", "coral", "coral red", "salmon", "orange-red"),
    "cream": ("cream", "cream", "ivory", "off-white", "beige", "ecru"),
    "denim": ("denim", "denim", "denim blue", "mid blue", "blue", "jeans blue"),
    "forest": ("forest", "forest green", "dark green", "bottle green", "green", "deep green"),
    "graphite": ("graphite", "graphite", "charcoal", "dark grey", "anthracite", "grey", "gray"),
    "kraft": ("kraft", "kraft", "kraft brown", "natural kraft"),
    "lavender": ("lavender", "lavender", "purple", "violet", "light purple", "mauve"),
    "mustard": ("mustard", "mustard", "mustard yellow", "yellow", "ochre"),
    "navy": ("navy", "navy", "navy blue", "dark blue", "midnight blue"),
    "oak": ("oak", "oak", "light oak", "oak-coloured"),
    "olive": ("olive", "olive", "olive green", "khaki"),
    "rust": ("rust", "rust", "rusty red", "red", "russet", "brick red", "rust red"),
    "sage": ("sage", "sage", "sage green", "pale green", "grey-green", "light green"),
    "sky": ("sky", "sky blue", "light blue", "pale blue", "baby blue"),
    "steel": ("steel", "steel", "silver", "light grey", "steel grey", "silvery"),
    "tan": ("tan", "tan", "camel", "light brown", "caramel", "cognac"),
    "teal": ("teal", "teal", "turquoise", "petrol", "blue-green"),
    "terracotta": ("terracotta", "terracotta", "burnt orange", "clay", "terra cotta"),
    "walnut": ("walnut", "walnut", "dark brown", "chocolate", "brown", "chocolate brown"),
    "white": ("white", "white", "pure white", "bright white"),
}  # fmt: skip

MATERIALS: Phrases = {
    "cardboard": ("cardboard", "carton", "corrugated card"),
    "ceramic": ("ceramic", "ceramic", "stoneware", "porcelain", "earthenware"),
    "cloth": ("cloth", "fabric", "textile", "canvas", "cotton", "woven", "linen cloth", "felt", "velvet"),
    "glass": ("glass", "glass", "blown glass"),
    "leather": ("leather", "leather", "full-grain leather", "suede"),
    "metal": ("metal", "metal", "steel sheet", "metallic", "aluminium", "stainless steel"),
    "paper": ("paper", "paper", "recycled paper"),
    "plastic": ("plastic", "plastic", "acrylic", "rubber"),
    "wax": ("wax", "wax", "beeswax", "soy wax"),
    "wood": ("wood", "wooden", "solid wood", "timber"),
}

# {second} is any other colour.
PATTERNS: Phrases = {
    "plain": ("plain", "in plain colour", "without a pattern", "unpatterned", "solid-coloured", "no pattern"),
    "stripes": ("striped", "with {second} stripes", "stripes", "with stripes", "stripy", "{second} stripes"),
    "dots": ("dotted", "with {second} dots", "dots", "spotted", "polka-dot", "with polka dots", "with dots"),
    "band": ("banded", "with a {second} band", "with a band", "with a band around it",
             "with a {second} stripe round it"),
    "label": ("labelled", "with a {second} label", "with a label", "with our label", "with a label on it"),
    "fluted": ("fluted", "ribbed", "with fluting", "with ribs", "grooved"),
    "speckled": ("speckled", "speckled with {second}", "flecked", "with {second} speckles", "with specks"),
    "checks": ("checked", "in {second} checks", "chequered", "checkered", "with checks", "plaid", "gingham"),
}  # fmt: skip

PROPORTIONS: Phrases = {
    "regular": ("of regular proportions", "regular", "of normal size", "regular-sized"),
    "tall": ("tall", "tall", "high", "tall and slim", "elongated"),
    "wide": ("wide", "wide", "broad", "squat", "low and wide"),
}

VIEWS: Phrases = {
    "front": ("from the front", "front view", "front on", "facing the camera", "straight on", "seen from the front"),
    "left": ("from the left", "seen from the left", "left view", "left side", "from the left side", "turned left"),
    "right": ("from the right", "seen from the right", "right view", "right side", "from the right side",
              "turned right"),
    "above": ("from above", "seen from above", "top view", "bird's-eye view", "looking down on it", "from the top"),
}  # fmt: skip

LIGHTS: Phrases = {
    "soft-left": ("in soft light from the left", "soft light from the left", "softly lit from the left",
                  "light from the left", "lit from the left", "soft left light"),
    "soft-right": ("in soft light from the right", "soft light from the right", "softly lit from the right",
                   "light from the right", "lit from the right", "soft right light"),
    "overhead": ("in overhead light", "overhead light", "lit from above", "light from above", "top light",
                 "with the lamp overhead"),
    "window": ("in window light", "window light", "by the window", "in daylight", "next to a window", "natural light"),
    "evening": ("in evening light", "evening light", "at dusk", "at sunset", "in the evening", "evening mood"),
}  # fmt: skip

BACKGROUNDS: Phrases = {
    "blush": ("blush", "blush", "pink", "pale pink", "blush pink"),
    "butter": ("butter", "butter", "pale yellow", "butter yellow", "light yellow", "yellow"),
    "grey": ("grey", "grey", "gray", "light grey", "neutral grey"),
    "lilac": ("lilac", "lilac", "pale purple", "lavender", "purple"),
    "linen": ("linen", "linen", "natural linen", "cream", "off-white", "ecru"),
    "none": (),
    "sage": ("sage", "sage", "green", "sage green", "pale green", "light green"),
    "sand": ("sand", "sand", "sandy", "beige", "sand-coloured"),
    "sky": ("sky", "sky blue", "blue", "light blue", "pale blue"),
    "slate": ("slate", "slate", "dark grey", "charcoal", "dark", "slate grey"),
    "white": ("white", "white", "pure white", "plain white", "clean white"),
}
GROUNDS = ("on {ground}", "on {ground} paper", "on a {ground} background", "on a {ground} backdrop",
           "{ground} background", "against a {ground} wall", "{ground} backdrop", "in front of {ground}",
           "background: {ground}",
           "against {ground}", "on a {ground} surface", "{ground} bg", "with a {ground} background")  # fmt: skip
CUT_OUT = ("cut out, with no background", "no background", "without a background", "cut out", "cutout", "isolated",
           "on a transparent background", "transparent background", "background removed",
           "with no background")  # fmt: skip

SEASONS: Phrases = {
    "any": ("for any season", "all year round", "for all seasons", "no season"),
    "spring": ("for spring", "spring mood", "among spring petals", "spring collection", "at Easter", "with blossom",
               "in spring", "among petals", "for Easter", "spring campaign"),
    "summer": ("for summer", "summer mood", "under a summer palm", "summer collection", "summer holiday", "in summer",
               "under a palm", "at the beach", "summer sale", "summer campaign"),
    "autumn": ("for autumn", "autumn mood", "among autumn leaves", "autumn collection", "for fall", "in autumn",
               "among fallen leaves", "with autumn leaves", "autumn sale", "for our autumn mailing"),
    "winter": ("for winter", "winter mood", "in winter snow", "winter collection", "for Christmas", "in winter",
               "in the snow", "snowy", "christmas", "with snow", "Christmas campaign"),
}  # fmt: skip
