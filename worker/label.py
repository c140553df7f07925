"""Typesets labels: a card with a hole for its string, the title, further lines, and the price at the foot.

The words are the largest that fit: lines are broken between words, never within one, and nothing is cut off or
shortened. What does not fit even at the smallest legible size is an error, and so is a letter that the font does not
have: a label says what it was asked to say, or it is not made.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import font_roboto
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from jobs.errors import ErrorCode, ImageRejected
from jobs.labels import Label
from worker.images import Picture

LABEL = "label"  # in the place of a file's format

MIN_TEXT_PX = 11  # of the smallest words: chosen, still legible
_TITLE, _LINE, _PRICE = 1.0, 0.62, 1.35  # sizes of the words, in shares of the title's
_MARGIN = 0.07  # of the shorter side
_HOLE = 0.04  # its radius, of the shorter side
_CORNER = 0.06
_FINER = 4  # times that edges are drawn larger, to be smooth
_NO_LETTER = "\U0010fffd"  # for private use: no font has it


class Words(NamedTuple):
    """A line of words in its place."""

    text: str
    left: int  # px, of the line's box
    top: int
    size_px: int
    bold: bool


def draw_label(label: Label) -> Picture:
    """Return a label's picture; beside its corners, and in its hole, it is transparent.

    Raises:
        ImageRejected: its words do not fit, or the font lacks one of their letters.

    """
    image = Image.new("RGB", (label.width_px, label.height_px), label.colour)
    draw = ImageDraw.Draw(image)
    for words in typeset(label):
        draw.text((words.left, words.top), words.text, ink(label.colour), _font(words.size_px, words.bold))
    return Picture(pixels=np.array(image), alpha=_shape(label), source_format=LABEL)


def typeset(label: Label) -> Sequence[Words]:
    """Return a label's words, each line in its place.

    Raises:
        ImageRejected: they do not fit, or the font lacks one of their letters.

    """
    _check_letters(label)
    sizes = range(round(MIN_TEXT_PX / _LINE), max(label.width_px, label.height_px))
    # As the sizes grow the words stop fitting; the first size at which they do not is behind the one that is taken.
    first_too_large = bisect.bisect_left(sizes, True, key=lambda size: _placed(label, size) is None)
    placed = _placed(label, sizes[first_too_large - 1]) if first_too_large else None
    if placed is None:
        message = (
            f"the words do not fit into {label.width_px} x {label.height_px} px at {MIN_TEXT_PX} px: shorten them, or "
            "make the label larger"
        )
        raise ImageRejected(ErrorCode.LABEL_UNFIT, message)
    return placed


def ink(colour: str) -> str:
    """Return black or white, whichever is easier to read on a colour (WCAG 2.2: at least 4.58 to 1)."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in bytes.fromhex(colour.removeprefix("#")))
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def _placed(label: Label, size: int) -> Sequence[Words] | None:
    """Return the words with a title of a size in px; None where they do not fit."""
    margin, left, top = _frame(label)
    width, foot, gap = label.width_px - left - margin, label.height_px - margin, size // 6
    placed: list[Words] = []
    texts = [(label.title, _TITLE, True), *((line, _LINE, False) for line in label.lines)]
    for text, share, bold in texts:
        lines = _broken(text, round(size * share), bold, width)
        if lines is None:
            return None
        for line in lines:
            placed.append(Words(line, left, top, round(size * share), bold))
            top += _height(round(size * share), bold)
        top += gap
    price = _broken(label.price, round(size * _PRICE), True, width)
    if price is None:
        return None
    height = _height(round(size * _PRICE), True)
    start = foot - height * len(price)
    placed += [
        Words(line, left, start + number * height, round(size * _PRICE), True) for number, line in enumerate(price)
    ]
    return placed if top - (0 if label.price else gap) <= start else None


def _broken(text: str, size: int, bold: bool, width: int) -> Sequence[str] | None:
    """Break a text into lines of a width in px; None where a word alone is wider."""
    font = _font(size, bold)
    lines: list[str] = []
    for word in text.split():
        if font.getlength(word) > width:
            return None
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _frame(label: Label) -> tuple[int, int, int]:
    """Return the margin, and where words begin, in px from the left and from the top: beside or below the hole."""
    shorter = min(label.width_px, label.height_px)
    margin, hole = round(_MARGIN * shorter), round((_MARGIN + 2 * _HOLE) * shorter)
    beside = label.width_px >= label.height_px
    return margin, margin + (hole if beside else 0), margin + (0 if beside else hole)


def _shape(label: Label) -> NDArray[np.uint8]:
    """Return the card's shape, uint8 [H, W]: round corners, and a hole."""
    width, height = label.width_px * _FINER, label.height_px * _FINER
    shorter = min(width, height)
    shape = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(shape)
    draw.rounded_rectangle((0, 0, width - 1, height - 1), _CORNER * shorter, fill=255)
    middle = (_MARGIN + _HOLE) * shorter
    x, y = (middle, height / 2) if width >= height else (width / 2, middle)
    radius = _HOLE * shorter
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    return np.array(shape.resize((label.width_px, label.height_px), Image.Resampling.BOX))


def _check_letters(label: Label) -> None:
    missing = sorted(set(_missing(itertools.chain(label.title, label.price, *label.lines))))
    if missing:
        message = f"the font has no letter for {' '.join(missing)}: it has those of Latin, Greek and Cyrillic scripts"
        raise ImageRejected(ErrorCode.LABEL_UNFIT, message)


def _missing(letters: Iterator[str]) -> Iterator[str]:
    font = _font(32, False)
    blank = bytes(font.getmask(_NO_LETTER))
    return (letter for letter in letters if bytes(font.getmask(letter)) == blank)


def _height(size: int, bold: bool) -> int:
    ascent, descent = _font(size, bold).getmetrics()
    return ascent + descent


@lru_cache(64)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    # Basic layout, of which nothing depends on what else a machine has installed.
    path = font_roboto.RobotoBold if bold else font_roboto.Roboto
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
