"""Reading columns of a manifest's row, as CSV and JSONL give them."""

from __future__ import annotations

from jobs.manifests import Row
from jobs.refusals import refusal

SHOWN_CHARACTERS = 200  # of a value that is refused


def whole_number(row: Row, column: str, least: int, most: int, *, code: str) -> int | None:
    """Return a whole number of a column; None where the row says nothing.

    Raises:
        InvalidRequest: it says something else.

    """
    value = row.attributes.get(column)
    if value in (None, ""):
        return None
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal() or not least <= int(text[:20]) <= most:
        raise refusal(column, shown(value), f"give a whole number from {least} to {most}", code=code)
    return int(text)


def shown(value: object) -> str:
    """Return as much of a value as a message holds."""
    return str(value)[:SHOWN_CHARACTERS]
