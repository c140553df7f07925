# ruff: noqa: E501 (a table: one row, one line)
"""The sample catalogue: which products it holds, and how they are photographed. Draws and writes nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from studio.product import BackgroundName, Colour, Kind, LightName, Material, Pattern, Product, View

Format = Literal["JPEG", "PNG", "WEBP"]
_FORMATS: dict[str, Format] = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row of the catalogue."""

    product_id: str
    key: str  # relative to the catalogue's folder
    title: str
    product: Product
    size: tuple[int, int]  # width and height, px

    @property
    def format(self) -> Format:
        return _FORMATS[self.key.rpartition(".")[2]]


# A row: file, title, colour, material, pattern, shape, second colour, azimuth, elevation, light, background, size.
_Row = tuple[str, str, Colour, Material, Pattern, int, Colour, float, float, LightName, BackgroundName, tuple[int, int]]

SQUARE, SMALL, TALL, WIDE = (560, 560), (480, 480), (480, 600), (600, 450)

# fmt: off
_ROWS: dict[Kind, tuple[_Row, ...]] = {
    "mug": (
        ("mug-terracotta.jpg", "Dipped mug, terracotta", "terracotta", "ceramic", "band", 0, "cream", -18, 16, "soft-left", "linen", SQUARE),
        ("mug-ocean-dots.jpg", "Round mug with dots", "teal", "ceramic", "dots", 1, "cream", -22, 18, "soft-right", "white", SMALL),
        ("cup-speckled.png", "Speckled cup", "cream", "ceramic", "speckled", 2, "walnut", -28, 20, "window", "sage", SMALL),
    ),
    "bottle": (
        ("flask-forest.jpg", "Insulated flask, forest", "forest", "metal", "label", 0, "sage", 4, 9, "soft-left", "sand", TALL),
        ("olive-oil.jpg", "Olive oil, 500 ml", "olive", "glass", "label", 1, "cream", 0, 8, "soft-right", "butter", TALL),
        ("hand-soap.webp", "Hand soap, lavender", "lavender", "plastic", "label", 2, "white", -6, 10, "soft-left", "white", TALL),
    ),
    "vase": (
        ("vase-fluted-sage.jpg", "Fluted vase, sage", "sage", "ceramic", "fluted", 0, "sage", 0, 13, "window", "blush", TALL),
        ("vase-striped.jpg", "Striped vase", "navy", "ceramic", "stripes", 1, "white", 0, 12, "soft-left", "grey", TALL),
        ("vase-rust.png", "Ribbed bowl vase, rust", "rust", "ceramic", "fluted", 2, "rust", 0, 18, "soft-right", "none", SMALL),
    ),
    "box": (
        ("tea-carton.jpg", "Green tea, 40 bags", "sage", "cardboard", "band", 0, "forest", -28, 14, "soft-left", "linen", TALL),
        ("gift-box.jpg", "Gift box, coral", "coral", "cardboard", "stripes", 1, "cream", -32, 22, "soft-left", "sky", SQUARE),
        ("shoe-box.jpg", "Shoe box with lid", "kraft", "cardboard", "label", 2, "white", -30, 24, "soft-left", "white", WIDE),
    ),
    "candle": (
        ("candle-jar.jpg", "Scented candle, fig", "lavender", "wax", "label", 0, "white", 0, 13, "soft-right", "lilac", SQUARE),
        ("pillar-candle.jpg", "Pillar candle on a dish", "mustard", "wax", "plain", 1, "brass", 0, 15, "evening", "slate", TALL),
        ("candle-tin.jpg", "Travel candle in a tin", "brass", "metal", "label", 2, "cream", -6, 20, "soft-left", "white", WIDE),
    ),
    "lamp": (
        ("lamp-mushroom.jpg", "Mushroom lamp, coral", "coral", "plastic", "plain", 0, "cream", 0, 8, "soft-left", "butter", SQUARE),
        ("lamp-table.jpg", "Table lamp, ceramic foot", "teal", "ceramic", "plain", 1, "cream", 0, 8, "window", "sand", TALL),
        ("lamp-globe.png", "Globe lamp, brass", "brass", "metal", "plain", 2, "white", 0, 9, "soft-right", "slate", TALL),
    ),
    "stool": (
        ("stool-oak.jpg", "Three-legged stool, oak", "oak", "wood", "plain", 0, "oak", 12, 16, "soft-left", "white", SQUARE),
        ("stool-cushion.jpg", "Bar stool, velvet seat", "walnut", "cloth", "plain", 1, "rust", 20, 13, "window", "sage", TALL),
    ),
    "book": (
        ("book-navy.jpg", "Hardcover, navy", "navy", "cloth", "plain", 0, "brass", -26, 12, "soft-left", "grey", TALL),
        ("books-stack.jpg", "Three novels", "teal", "paper", "plain", 1, "coral", 24, 24, "soft-right", "linen", WIDE),
    ),
    "toy": (
        ("stacking-rings.jpg", "Stacking rings", "coral", "plastic", "plain", 0, "oak", 0, 16, "soft-left", "sky", SQUARE),
        ("beach-ball.webp", "Play ball", "coral", "plastic", "stripes", 1, "white", 0, 14, "soft-right", "white", SMALL),
        ("bath-duck.jpg", "Bath duck", "mustard", "plastic", "plain", 2, "coral", 22, 14, "soft-left", "sky", SQUARE),
        ("play-ball-night.webp", "Play ball, night", "navy", "plastic", "stripes", 1, "lavender", 30, 14, "evening", "lilac", SMALL),
    ),
    "bag": (
        ("handbag-tan.jpg", "Leather handbag, tan", "tan", "leather", "plain", 0, "brass", -24, 12, "soft-left", "linen", SQUARE),
        ("tote-denim.jpg", "Canvas tote, denim", "denim", "cloth", "label", 1, "cream", -20, 14, "soft-right", "blush", TALL),
        ("gift-carrier.png", "Paper carrier", "kraft", "paper", "label", 2, "forest", -30, 15, "soft-left", "none", TALL),
    ),
    "teapot": (
        ("teapot-mustard.jpg", "Teapot, mustard", "mustard", "ceramic", "plain", 0, "oak", -12, 18, "soft-left", "grey", WIDE),
        ("teapot-speckled.jpg", "Stoneware teapot", "cream", "ceramic", "speckled", 0, "walnut", 14, 20, "window", "sage", WIDE),
    ),
}
# fmt: on

_FOLDERS: dict[Kind, str] = {"box": "boxes"}


def sample_catalogue() -> list[Sample]:
    """The rows of the sample catalogue, in the order of its manifest."""
    rows = [(kind, row) for kind, rows in _ROWS.items() for row in rows]
    return [_sample(number, kind, row) for number, (kind, row) in enumerate(rows, start=1)]


def _sample(number: int, kind: Kind, row: _Row) -> Sample:
    file, title, colour, material, pattern, shape, second, azimuth, elevation, light, background, size = row
    product = Product(
        kind=kind,
        colour=colour,
        material=material,
        pattern=pattern,
        shape=shape,
        second=second,
        view=View(azimuth=azimuth, elevation=elevation, fill=0.82),
        light=light,
        background=background,
        seed=number,
    )
    folder = _FOLDERS.get(kind, f"{kind}s")
    return Sample(product_id=f"S{number:03d}", key=f"{folder}/{file}", title=title, product=product, size=size)
