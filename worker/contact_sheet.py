"""The contact sheet: a job's pictures before and after, as one self-contained HTML page and one PNG.

It knows neither jobs nor storage: the caller chooses the entries and reads their pictures. Each entry is shrunk as it
comes and let go, so memory is that of one picture and two dozen thumbnails, however large the pictures are.
"""

from __future__ import annotations

import base64
import bisect
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from PIL import Image, ImageDraw, ImageFont

from worker.images import thumbnail

Pixels = npt.NDArray[np.uint8]

MOST_PAIRS = 24
MOST_FAILURES = 100
THUMBNAIL_PX = 400  # longer side on the page; chosen: sharp on a double-density screen, 24 pairs stay below 3 MB
THUMBNAIL_QUALITY = 82

# The PNG's measures, in px, and its colours: neutral greys, beside which a tint is seen.
TILE = 220
GAP = 4  # between before and after
MARGIN = 28
LABEL = 46  # below a pair
LINE = 24  # of the head's facts
TITLE = 40
MOST_COLUMNS = 4
PAPER, MAT, INK, FAINT = "#f3f3f1", "#e7e7e4", "#1d1d1f", "#6e6e73"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item that succeeded. A picture is a file's bytes or pixels [H, W, 3] sRGB, of any size."""

    before: bytes | Pixels | None  # None: it was made of nothing that could be shown
    after: bytes | Pixels
    label: str
    note: str = ""  # a few words below the label


@dataclass(frozen=True, slots=True)
class Pair:
    """An entry with its pictures as thumbnails."""

    label: str
    note: str
    before: Image.Image | None
    after: Image.Image


def render(
    entries: Iterable[Entry], *, title: str, facts: Mapping[str, str], failures: Sequence[tuple[str, str]] = ()
) -> tuple[bytes, bytes]:
    """Return the HTML page and the PNG.

    Args:
        entries: the first two dozen are shown.
        title: the heading.
        facts: short answers such as model, style, counts; shown in their order.
        failures: label and reason code of items without a result; the page lists the first hundred.

    Raises:
        ImageRejected: a picture that cannot be decoded.

    """
    pairs = [
        Pair(entry.label, entry.note, None if entry.before is None else _shrunk(entry.before), _shrunk(entry.after))
        for entry in islice(entries, MOST_PAIRS)
    ]
    page = _template().render(
        title=title,
        facts=facts,
        pairs=[_as_shown(pair) for pair in pairs],
        failures=failures[:MOST_FAILURES],
        left_out=max(0, len(failures) - MOST_FAILURES),
    )
    return page.encode(), _png(pairs, title=title, facts=facts)


def _shrunk(picture: bytes | Pixels) -> Image.Image:
    if isinstance(picture, bytes):
        return Image.fromarray(thumbnail(picture, THUMBNAIL_PX))
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return image


@cache
def _template() -> Template:
    # Labels come from file names of strangers: everything is escaped.
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("contact_sheet.html")


def _as_shown(pair: Pair) -> dict[str, str | None]:
    first = pair.before or pair.after
    return {
        "label": pair.label,
        "note": pair.note,
        "before": None if pair.before is None else _data_url(pair.before),
        "after": _data_url(pair.after),
        "ratio": f"{min(2.0, max(0.5, first.width / first.height)):.3f}",  # a banner must not fill the page
    }


def _data_url(image: Image.Image) -> str:
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=THUMBNAIL_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()


def _png(pairs: Sequence[Pair], *, title: str, facts: Mapping[str, str]) -> bytes:
    columns = max(1, min(MOST_COLUMNS, round(math.sqrt(len(pairs)))))
    rows = math.ceil(len(pairs) / columns)
    cell_width, cell_height = 2 * TILE + GAP + MARGIN, TILE + LABEL + MARGIN
    width = MARGIN + max(columns, 2) * cell_width
    lines = _wrapped([f"{name}: {value}" for name, value in facts.items()], width - 2 * MARGIN)
    head = MARGIN + TITLE + LINE * len(lines) + MARGIN // 2
    sheet = Image.new("RGB", (width, head + rows * cell_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN - 6), _cut(title, 30, width - 2 * MARGIN), INK, _font(30))
    for number, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + TITLE + LINE * number), line, FAINT, _font(16))
    for number, pair in enumerate(pairs):
        row, column = divmod(number, columns)
        _draw_pair(sheet, draw, pair, MARGIN + column * cell_width, head + row * cell_height)
    png = io.BytesIO()
    sheet.save(png, "PNG")
    return png.getvalue()


def _draw_pair(sheet: Image.Image, draw: ImageDraw.ImageDraw, pair: Pair, left: int, top: int) -> None:
    if pair.before is None:
        _draw_tile(sheet, draw, pair.after, (left, top, 2 * TILE + GAP))
    else:
        for number, image in enumerate((pair.before, pair.after)):
            _draw_tile(sheet, draw, image, (left + number * (TILE + GAP), top, TILE))
    draw.text((left, top + TILE + 6), _cut(pair.label, 15, 2 * TILE), INK, _font(15))
    draw.text((left, top + TILE + 25), _cut(pair.note, 13, 2 * TILE), FAINT, _font(13))


def _draw_tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, image: Image.Image, place: tuple[int, int, int]) -> None:
    """Draw a picture in the middle of a place: left, top and width in px."""
    left, top, width = place
    tile = image.copy()
    tile.thumbnail((width, TILE), Image.Resampling.LANCZOS)
    draw.rectangle((left, top, left + width - 1, top + TILE - 1), fill=MAT)
    sheet.paste(tile, (left + (width - tile.width) // 2, top + (TILE - tile.height) // 2))


@cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)  # the one that Pillow carries: the same on every machine


def _cut(text: str, size: int, width: int) -> str:
    """Return the text on one line, shortened in its middle to fit a width in px."""
    text = " ".join(text.split())
    if _font(size).getlength(text) <= width:
        return text

    def shortened(ends: int) -> str:
        return f"{text[:ends]}…{text[len(text) - ends :]}"

    fitting = bisect.bisect_right(
        range(len(text) // 2), float(width), key=lambda ends: _font(size).getlength(shortened(ends))
    )
    return shortened(max(0, fitting - 1))


def _wrapped(parts: Sequence[str], width: int) -> list[str]:
    """Return the parts on as few lines as hold them, in a width in px."""
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]}   ·   {part}" if lines else part
        if lines and _font(16).getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(_cut(part, 16, width))
    return lines
