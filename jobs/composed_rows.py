"""Rows of a manifest whose picture is put together: a comparison sheet of several pictures, or a label of words.

Such a row has no `key`. How its picture is laid out its other columns say; what they leave out is decided here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from jobs.columns import shown, whole_number
from jobs.labels import COLOUR as HEXADECIMAL
from jobs.labels import (
    HEIGHT_PX,
    MAX_SIDE_PX,
    MIN_SIDE_PX,
    PAPER,
    WIDTH_PX,
    Label,
    is_label,
    label_url,
    read_label,
)
from jobs.manifests import Row
from jobs.places import Places
from jobs.refusals import refusal
from jobs.sheets import (
    CELL_PX,
    MAX_BYTES,
    MAX_CELL_PX,
    MAX_PICTURES,
    MIN_CELL_PX,
    MIN_PICTURES,
    WHITE,
    Sheet,
    columns_for,
    read_sheet,
    sheet_url,
)
from jobs.source_urls import is_composed

KEYS, COLUMNS, CELL, GROUND = "keys", "sheet_columns", "sheet_cell_px", "sheet_ground"  # columns of sheets
TITLE, PRICE, LINES, COLOUR = "label_title", "label_price", "label_lines", "label_colour"  # and of labels
WIDTH, HEIGHT = "label_width_px", "label_height_px"
SEPARATOR = "|"  # of keys, and of lines, in CSV
BAD_LABEL = "label_invalid"


def names_composed(row: Row) -> bool:
    """Whether a row's picture is put together; a line of an earlier job's errors file says so in its key."""
    return not row.key or is_composed(row.key)


def composed_url(row: Row, places: Places) -> str:
    """Return what stands in the place of a row's source picture.

    Raises:
        InvalidRequest: one of its pictures may not be read, or it can be no sheet or label.

    """
    if row.key:
        return _again(row.key, places)
    return _sheet(row, places) if row.attributes.get(KEYS) else _label(row)


def _sheet(row: Row, places: Places) -> str:
    keys = _keys(row)
    pictures = tuple(str(places.picture(key, KEYS)) for key in keys)
    columns = whole_number(row, COLUMNS, 1, MAX_PICTURES, code="sheet_invalid") or columns_for(len(keys))
    cell_px = whole_number(row, CELL, MIN_CELL_PX, MAX_CELL_PX, code="sheet_invalid")
    sheet = Sheet(
        pictures=pictures,
        columns=min(columns, len(keys)),
        cell_px=cell_px or CELL_PX,
        ground=_colour(row, GROUND, "sheet_invalid") or WHITE,
    )
    return _bounded(sheet_url(sheet), "|".join(keys))


def _label(row: Row) -> str:
    width_px, height_px = (
        whole_number(row, name, MIN_SIDE_PX, MAX_SIDE_PX, code=BAD_LABEL) for name in (WIDTH, HEIGHT)
    )
    title, price, *lines = _texts(row)
    try:
        label = Label(
            title=title,
            price=price,
            lines=tuple(filter(None, lines)),
            colour=_colour(row, COLOUR, BAD_LABEL) or PAPER,
            width_px=width_px or WIDTH_PX,
            height_px=height_px or HEIGHT_PX,
        )
    except ValueError as error:
        raise refusal(TITLE, shown(title), str(error), code=BAD_LABEL) from None
    return label_url(label)


def _texts(row: Row) -> Sequence[str]:
    """Return a label's title, price and lines, each on one line."""
    title, price, lines = (row.attributes.get(name) for name in (TITLE, PRICE, LINES))
    lines = lines.split(SEPARATOR) if isinstance(lines, str) else lines
    texts = [title, "" if price is None else price, *(lines if isinstance(lines, list) else [lines or ""])]
    if not all(isinstance(text, str | int | float) and not isinstance(text, bool) for text in texts):
        raise refusal(TITLE, shown(texts), "write title, price and each line as text", code=BAD_LABEL)
    # Letters and their marks as one: the font has no marks that stand on their own.
    return [" ".join(unicodedata.normalize("NFC", str(text)).split()) for text in texts]


def _again(url: str, places: Places) -> str:
    """Return the sheet of an earlier job, whose pictures may still be read, or its label."""
    try:
        if is_label(url):
            return label_url(read_label(url))
        sheet = read_sheet(url)
    except ValueError as error:
        code = BAD_LABEL if is_label(url) else "sheet_invalid"
        raise refusal("key", shown(url), f"write it as it was: {error}", code=code) from None
    for picture in sheet.pictures:
        places.picture(picture)
    return _bounded(sheet_url(sheet), url)


def _keys(row: Row) -> Sequence[str]:
    value = row.attributes.get(KEYS)
    keys = [key.strip() for key in value.split(SEPARATOR)] if isinstance(value, str) else value
    if not isinstance(keys, list) or not all(isinstance(key, str) and key for key in keys):
        remedy = f"name each picture, separated by {SEPARATOR}, or in JSONL as a list of texts"
        raise refusal(KEYS, shown(value), remedy, code="keys_invalid")
    if not MIN_PICTURES <= len(keys) <= MAX_PICTURES:
        remedy = f"name {MIN_PICTURES} to {MAX_PICTURES} pictures; these are {len(keys)}"
        raise refusal(KEYS, shown(value), remedy, code="keys_invalid")
    return keys


def _colour(row: Row, column: str, code: str) -> str | None:
    value = row.attributes.get(column)
    if value in (None, ""):
        return None
    colour = str(value).strip().lower()
    if not HEXADECIMAL.fullmatch(colour):
        raise refusal(column, shown(value), f"give a colour such as {WHITE}", code=code)
    return colour


def _bounded(url: str, value: str) -> str:
    if len(url) > MAX_BYTES:
        remedy = f"use shorter keys, or fewer: written out, the sheet has {len(url)} bytes, and at most {MAX_BYTES} fit"
        raise refusal(KEYS, shown(value), remedy, code="keys_invalid")
    return url
