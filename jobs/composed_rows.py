"""Rows of a manifest whose picture is put together: a comparison sheet of several pictures.

Such a row has no `key`. How its sheet is laid out its other columns say; what they leave out is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobs.columns import shown, whole_number
from jobs.manifests import Row
from jobs.places import Places
from jobs.refusals import refusal
from jobs.sheets import (
    CELL_PX,
    COLOUR,
    MAX_BYTES,
    MAX_CELL_PX,
    MAX_PICTURES,
    MIN_CELL_PX,
    MIN_PICTURES,
    WHITE,
    Sheet,
    columns_for,
    is_sheet,
    read_sheet,
    sheet_url,
)

KEYS, COLUMNS, CELL, GROUND = "keys", "sheet_columns", "sheet_cell_px", "sheet_ground"  # columns
SEPARATOR = "|"  # of keys in CSV


def is_composed(row: Row) -> bool:
    """Whether a row's picture is put together; a line of an earlier job's errors file says so in its key."""
    return not row.key or is_sheet(row.key)


def composed_url(row: Row, places: Places) -> str:
    """Return what stands in the place of a row's source picture.

    Raises:
        InvalidRequest: one of its pictures may not be read, or it can be no sheet.

    """
    if row.key:
        return _again(row.key, places)
    keys = _keys(row)
    pictures = tuple(str(places.picture(key, KEYS)) for key in keys)
    columns = whole_number(row, COLUMNS, 1, MAX_PICTURES, code="sheet_invalid") or columns_for(len(keys))
    cell_px = whole_number(row, CELL, MIN_CELL_PX, MAX_CELL_PX, code="sheet_invalid")
    sheet = Sheet(
        pictures=pictures,
        columns=min(columns, len(keys)),
        cell_px=cell_px or CELL_PX,
        ground=_ground(row),
    )
    return _bounded(sheet_url(sheet), "|".join(keys))


def _again(url: str, places: Places) -> str:
    """Return the sheet of an earlier job, whose pictures may still be read."""
    try:
        sheet = read_sheet(url)
    except ValueError as error:
        raise refusal("key", shown(url), f"write it as it was, or as `{KEYS}`: {error}", code="sheet_invalid") from None
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


def _ground(row: Row) -> str:
    value = row.attributes.get(GROUND)
    if value in (None, ""):
        return WHITE
    colour = str(value).strip().lower()
    if not COLOUR.fullmatch(colour):
        raise refusal(GROUND, shown(value), f"give a colour such as {WHITE}", code="sheet_invalid")
    return colour


def _bounded(url: str, value: str) -> str:
    if len(url) > MAX_BYTES:
        remedy = f"use shorter keys, or fewer: written out, the sheet has {len(url)} bytes, and at most {MAX_BYTES} fit"
        raise refusal(KEYS, shown(value), remedy, code="keys_invalid")
    return url
