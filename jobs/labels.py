"""A label or tag: words and a price on a coloured card, written as a URL in the place of a source picture's.

`label:///?colour=%23c8102e&height_px=400&line=600+ml&price=12.90+EUR&title=Mug&width_px=640`: all that it shows. Equal
labels are equal texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

PREFIX = "label:///?"
LINE = "line"
MAX_LINES = 6
MAX_CHARACTERS = 200  # of the title, the price and each line
MIN_SIDE_PX, MAX_SIDE_PX = 64, 2048
WIDTH_PX, HEIGHT_PX = 640, 400
PAPER = "#f4f1ea"
COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a label shows. Its texts are single lines of visible characters.

    Raises ValueError for what can be no label.
    """

    title: str
    price: str = ""  # as it is to be read, with its currency
    lines: tuple[str, ...] = ()
    colour: str = PAPER  # of the card, sRGB in hexadecimal digits; that of the words follows from it
    width_px: int = WIDTH_PX
    height_px: int = HEIGHT_PX

    def __post_init__(self) -> None:
        if not self.title:
            raise ValueError("a label has a title")
        if len(self.lines) > MAX_LINES:
            raise ValueError(f"a label has at most {MAX_LINES} lines, not {len(self.lines)}")
        for text in (self.title, self.price, *self.lines):
            if len(text) > MAX_CHARACTERS:
                raise ValueError(f"each text has at most {MAX_CHARACTERS} characters; {text[:20]!r}… has {len(text)}")
            if not text.isprintable():
                raise ValueError(f"{text!r} has characters that cannot be seen")
        if not COLOUR.fullmatch(self.colour):
            raise ValueError(f"the colour is {self.colour!r}, not one such as {PAPER}")
        if not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in (self.width_px, self.height_px)):
            raise ValueError(f"each side has {MIN_SIDE_PX} to {MAX_SIDE_PX} px")


def is_label(url: str) -> bool:
    """Whether this stands for a label that is to be typeset."""
    return url.startswith(PREFIX)


def label_url(label: Label) -> str:
    """Write a label."""
    members = [("colour", label.colour), ("height_px", str(label.height_px))]
    members += [(LINE, line) for line in label.lines]
    members += [("price", label.price), ("title", label.title), ("width_px", str(label.width_px))]
    return PREFIX + urlencode(members)


def read_label(url: str) -> Label:
    """Read what `label_url` has written.

    Raises:
        ValueError: it is no label.

    """
    if not is_label(url):
        raise ValueError(f"{url!r} does not begin with {PREFIX}")
    members = parse_qsl(url.removeprefix(PREFIX), keep_blank_values=True, strict_parsing=True)
    single = {name: value for name, value in members if name != LINE}
    lines = tuple(value for name, value in members if name == LINE)
    if len(members) != len(single) + len(lines) or single.keys() != {
        "colour",
        "height_px",
        "price",
        "title",
        "width_px",
    }:
        raise ValueError(f"{url!r:.200} has not each of colour, height_px, price, title and width_px once")
    return Label(
        title=single["title"],
        price=single["price"],
        lines=lines,
        colour=single["colour"],
        width_px=int(single["width_px"]),
        height_px=int(single["height_px"]),
    )
