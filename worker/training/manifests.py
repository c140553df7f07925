"""What a manifest says of photos: words that are to be learned, and pictures that belong to them.

A folder of photos may hold a `manifest.csv`, as the folders of `python -m studio` do: a line for each photo, its file
in the column `key`, `pictures` or `image_key`, seen from the folder. Any other column can be an attribute (`kind`,
`colour` …: a word, or nothing where it is not known) or name a sidecar's file (`masks`, `depth`, `edges`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jobs.errors import InvalidRequest, ObjectMissing, ObjectTooLarge, Problem
from jobs.locations import Location
from jobs.storage import Storages

MANIFEST = "manifest.csv"
PHOTO_COLUMNS = ("key", "pictures", "image_key")  # the first that is there
MAX_BYTES = 256 << 20  # of a manifest
MAX_WORDS = 256  # of an attribute; a column with more, such as titles, tells photos apart and not kinds of them

Vocabulary = Mapping[str, Sequence[str]]  # the words of each attribute


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A photo, and what its line says of it."""

    photo: Location
    words: tuple[str, ...] = ()  # of each attribute in turn; "": not known
    sidecars: tuple[Location, ...] = ()


def read_manifests(
    places: Sequence[Location], storages: Storages, *, attributes: Sequence[str], sidecars: Sequence[str]
) -> list[Described]:
    """Read the manifests of these folders. A line without a sidecar that is asked for is left out.

    Raises:
        InvalidRequest: a folder has no manifest, or its manifest has no such column.
        StorageError: storage did not answer.

    """
    return [line for place in places for line in _read(place, storages, attributes, sidecars)]


def _read(
    place: Location, storages: Storages, attributes: Sequence[str], sidecars: Sequence[str]
) -> Iterable[Described]:
    try:
        content = storages.at(place).read(place.child(MANIFEST).key, max_bytes=MAX_BYTES).decode("utf-8-sig")
    except (ObjectMissing, ObjectTooLarge, UnicodeDecodeError) as error:
        remedy = f"give folders with a {MANIFEST}, which has attributes and sidecars: {error}"
        raise _refusal("photos", str(place), remedy) from None
    lines = csv.DictReader(io.StringIO(content, newline=""))
    columns = list(lines.fieldnames or ())
    photo = next((column for column in PHOTO_COLUMNS if column in columns), None)
    if photo is None:
        remedy = f"name the photos' files in a column {', '.join(PHOTO_COLUMNS)}"
        raise _refusal("photos", str(place.child(MANIFEST)), remedy)
    for field, asked in (("attributes", attributes), ("sidecars", sidecars)):
        missing = [column for column in asked if column not in columns]
        if missing:
            raise _refusal(field, missing, f"choose columns of {place.child(MANIFEST)}: {', '.join(columns)}")
    for line in lines:
        files = [line[column] or "" for column in (photo, *sidecars)]
        if all(files):
            yield Described(
                photo=place.child(files[0], field="photos"),
                words=tuple((line[attribute] or "").strip() for attribute in attributes),
                sidecars=tuple(place.child(file, field="sidecars") for file in files[1:]),
            )


def vocabulary_of(described: Sequence[Described], attributes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the words that these photos have, in alphabetical order.

    Raises:
        InvalidRequest: an attribute has but one word, or too many.

    """
    found = {}
    for place, attribute in enumerate(attributes):
        words = sorted({line.words[place] for line in described} - {""})
        if not 2 <= len(words) <= MAX_WORDS:
            remedy = f"choose columns with 2 to {MAX_WORDS} different words: {attribute} has {len(words)}"
            raise _refusal("attributes", attribute, remedy)
        found[attribute] = tuple(words)
    return found


def _refusal(field: str, value: object, remedy: str) -> InvalidRequest:
    return InvalidRequest(Problem(field=field, value=value, remedy=remedy))
