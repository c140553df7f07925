"""What an item's source URL stands for: a picture in storage, or one that is made of others, or of nothing."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.labels import is_label
from jobs.sheets import is_sheet, read_sheet
from jobs.wishes import is_wish


def pictures_of(source_url: str) -> Sequence[str]:
    """Return the URLs of the pictures that have to be read for a source: none of what is made of words alone.

    Raises:
        ValueError: it begins like a sheet, and is none.

    """
    if is_wish(source_url) or is_label(source_url):
        return ()
    return read_sheet(source_url).pictures if is_sheet(source_url) else (source_url,)


def is_made(source_url: str) -> bool:
    """Whether there is no such picture before its item is done."""
    return is_wish(source_url) or is_composed(source_url)


def is_composed(source_url: str) -> bool:
    """Whether its picture is put together before a model works on it."""
    return is_sheet(source_url) or is_label(source_url)
