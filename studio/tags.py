"""Label and tag pictures: flat, of words, each from a seed and its number alone.

They have what products are labelled with (`studio.labels`: a mark, a brand's word, small print), on a label, a round
sticker or a tag with its string, a little askew on a light ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from studio.labels import MARKS, WORDS, draw_mark, draw_word

SHAPES = ("label", "sticker", "tag")
PAPERS = {
    "white": "#f4f3ef", "cream": "#f1e7d3", "kraft": "#bd9468", "blush": "#e3aa9e", "sage": "#93a98a", "sky": "#7fb4d6",
    "mustard": "#dda42f", "coral": "#e8694f", "teal": "#1f8a8c", "navy": "#26375e", "forest": "#2f5d46",
    "black": "#2b2a2d",
}  # fmt: skip
INKS = {"black": "#2b2a2d", "navy": "#26375e", "rust": "#a84f2c", "white": "#f4f3ef", "mustard": "#dda42f"}
TAG_VOCABULARY: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "paper": tuple(PAPERS),
    "ink": tuple(INKS),
    "mark": MARKS,
    "brand": WORDS,
}

_LARGER = 4  # pictures are drawn this much larger, and reduced, which smooths their edges
_LEAST_CONTRAST = 2.6  # of ink on paper, as of WCAG 2.2; chosen: every pair that a printer would sell
_TILT_DEGREES = 7.0
_STRING = "#8a7a63"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A picture, and what it shows."""

    attributes: dict[str, str]  # a word of each of `TAG_VOCABULARY`
    pixels: NDArray[np.uint8]  # [size, size, 3], sRGB


def draw_tag(number: int, *, seed: int, size: int) -> Tag:
    """Draw picture `number` (from 0) of the set that `seed` names, `size` px square."""
    attributes = tag_words(number, seed=seed)
    chance = Random(f"studio tag's place {seed} {number}")
    side = size * _LARGER
    ground = Image.new("RGB", (side, side), _hex([chance.randint(226, 240)] * 3))
    flat = _printed(attributes, side)
    tilt, scale = chance.uniform(-_TILT_DEGREES, _TILT_DEGREES), chance.uniform(0.92, 1.04)
    turned = flat.resize((round(side * scale),) * 2, Image.Resampling.BICUBIC).rotate(tilt, Image.Resampling.BICUBIC)
    left, top = ((side - turned.width) // 2 + round(chance.uniform(-0.03, 0.03) * side) for _ in range(2))
    shadow = Image.new("L", (side, side), 0)
    shadow.paste(turned.getchannel("A").point([value * 5 // 12 for value in range(256)]), (left, top + side // 50))
    ground.paste(Image.new("RGB", ground.size, "#5b544c"), mask=shadow.filter(ImageFilter.GaussianBlur(side / 60)))
    ground.paste(turned, (left, top), turned)
    return Tag(attributes=attributes, pixels=np.asarray(ground.resize((size, size), Image.Resampling.BOX)))


def tag_words(number: int, *, seed: int) -> dict[str, str]:
    """Return what a picture shows, without drawing it."""
    chance = Random(f"studio tag {seed} {number}")
    paper = _pick(chance, tuple(PAPERS))
    inks = tuple(ink for ink in INKS if _contrast(PAPERS[paper], INKS[ink]) >= _LEAST_CONTRAST)
    words = {"shape": _pick(chance, SHAPES), "paper": paper, "ink": _pick(chance, inks)}
    return {**words, "mark": _pick(chance, MARKS), "brand": _pick(chance, WORDS)}


def _printed(attributes: dict[str, str], side: int) -> Image.Image:
    """Return it by itself, lying straight on nothing: RGBA."""
    paper, ink = PAPERS[attributes["paper"]], INKS[attributes["ink"]]
    picture = Image.new("RGBA", (side, side), paper + "00")
    pen, middle, unit = ImageDraw.Draw(picture), side / 2, side / 15
    if attributes["shape"] == "label":
        pen.rounded_rectangle((1.5 * unit, 1.7 * unit, side - 1.5 * unit, side - 1.7 * unit), unit * 0.5, fill=paper)
    elif attributes["shape"] == "sticker":
        pen.ellipse((unit, unit, side - unit, side - unit), fill=paper)
    else:
        left, right, top, end = 2.6 * unit, side - 2.6 * unit, 1.2 * unit, side - 0.8 * unit
        pen.polygon(
            [
                (left, 3.4 * unit),
                (4.8 * unit, top),
                (side - 4.8 * unit, top),
                (right, 3.4 * unit),
                (right, end),
                (left, end),
            ],
            fill=paper,
        )
        pen.ellipse((middle - 0.7 * unit, 1.7 * unit, middle + 0.7 * unit, 3.1 * unit), fill=paper + "00")
        pen.line([(middle, 2.4 * unit), (middle + 1.2 * unit, 0)], fill=_STRING, width=round(unit * 0.28))
    printing = Image.new("L", (side, side), 0)
    pen, below = ImageDraw.Draw(printing), 0.6 * unit if attributes["shape"] == "tag" else 0.0
    draw_mark(pen, MARKS.index(attributes["mark"]), middle, middle + below - 2.0 * unit, 1.75 * unit)
    draw_word(pen, attributes["brand"], middle, middle + below + 1.0 * unit, 1.45 * unit)
    for line, share in enumerate((3.0, 2.0)):
        top = middle + below + (3.3 + 0.75 * line) * unit
        pen.rounded_rectangle((middle - share * unit, top, middle + share * unit, top + unit * 0.26), unit * 0.13, 255)
    picture.paste(Image.new("RGBA", picture.size, ink), mask=printing)
    return picture


def _contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21: WCAG 2.2."""
    darker, lighter = sorted(_luminance(colour) for colour in (first, second))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    values = [value / 255 for value in bytes.fromhex(colour.removeprefix("#"))]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _pick(chance: Random, words: tuple[str, ...]) -> str:
    return words[int(chance.random() * len(words))]


def _hex(values: list[int]) -> str:
    return "#" + bytes(values).hex()
