"""From what a person types to what the API takes: sources, parameters, styles. Local paths become file:// URLs."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MANIFESTS = (".csv", ".jsonl", ".ndjson")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif")
WORD = re.compile(r"[a-z][a-z0-9-]*")
HAS_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)

SIGNATURES = (  # the first bytes of each format that is accepted: offset, bytes
    (0, b"\xff\xd8\xff"),  # JPEG
    (0, b"\x89PNG\r\n\x1a\n"),
    (8, b"WEBP"),
    (4, b"ftypavif"),
    (4, b"ftypavis"),
    (4, b"ftypmif1"),  # AVIF by its general name
    (0, b"II*\x00"),  # TIFF
    (0, b"MM\x00*"),
    (0, b"BM"),
    (0, b"GIF8"),
)


def url_of(place: str, *, folder: bool = False) -> str:
    """Return a place as a URL: URLs as they are, local paths as absolute file:// URLs.

    A local folder, or anything when `folder` is set, ends in a slash.
    """
    if HAS_SCHEME.match(place):
        return place
    path = os.path.abspath(Path(place).expanduser())  # noqa: PTH100  # no ".." may remain, and links stay links
    end = "/" if folder or Path(path).is_dir() else ""
    return "file://" + path.rstrip("/") + end  # the service takes locations raw: nothing is percent-encoded


def source_of(place: str, *, on_bad_row: str) -> dict[str, Any]:
    """Return a job's source: a manifest by the ending of its name, otherwise every picture below a prefix.

    Raises:
        ValueError: a local path that does not exist, or that is neither a folder nor a manifest.

    """
    if not HAS_SCHEME.match(place):
        path = Path(place).expanduser()
        if not path.exists():
            raise ValueError(f"there is no file or folder {place!r}")
        if not path.is_dir() and path.suffix.lower() not in MANIFESTS:
            raise ValueError(f"{place!r} is neither a folder nor a manifest ({', '.join(MANIFESTS)})")
    url = url_of(place)
    if url.lower().endswith(MANIFESTS):
        return {"type": "manifest", "url": url, "on_bad_row": on_bad_row}
    return {"type": "prefix", "url": url}


def source_or_count(place: str | None, count: int | None, *, on_bad_row: str) -> dict[str, Any]:
    """Return a job's source: a place, or how many pictures to generate.

    Raises:
        ValueError: both or neither, or as `source_of` does.

    """
    if (place is None) == (count is None):
        raise ValueError("name a source, or how many pictures to generate; not both")
    return {"type": "count", "count": count} if place is None else source_of(place, on_bad_row=on_bad_row)


def words_of(texts: Sequence[str]) -> dict[str, str]:
    """Return what generated pictures show, from `name=word`.

    Raises:
        ValueError: not of that form, or one attribute twice.

    """
    words: dict[str, str] = {}
    for text in texts:
        name, equals, word = text.partition("=")
        if not name or not equals or not word or name in words:
            raise ValueError(f"{text!r} is not another name=word, such as kind=mug")
        words[name] = word
    return words


def read_rules(path: Path) -> list[Any]:
    """Return the rules of a JSON file: a list, as in `recipe.rules`. The API looks at each of them.

    Raises:
        ValueError: it cannot be read, or is no list.

    """
    try:
        rules = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a JSON file that can be read: {error}") from None
    if isinstance(rules, list):
        return rules
    raise ValueError(f'{path} is not a list of rules: [{{"when": {{"season": "autumn"}}, "style": "autumn"}}]')


def parameters_of(settings: Sequence[str]) -> dict[str, Any]:
    """Return the parameters that `--set name=value` names; values are numbers, true or false, or a word.

    Raises:
        ValueError: not of the form name=value, or another kind of value.

    """
    parameters = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        value = _value(text)
        if not name or not equals or value is None:
            raise ValueError(f"{setting!r} is not name=value with a number, true, false or a word: strength=0.7")
        parameters[name] = value
    return parameters


def _value(text: str) -> float | int | bool | str | None:
    try:
        value = json.loads(text.lower())
    except ValueError:
        return text if WORD.fullmatch(text) else None
    return value if isinstance(value, (int, float)) else None


def gates_of(minimums: Sequence[str], maximums: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the gates that `--at-least measure=number` and `--at-most measure=number` name.

    Raises:
        ValueError: not of this form.

    """
    gates: dict[str, dict[str, float]] = {}
    for bound, given in (("minimum", minimums), ("maximum", maximums)):
        for text in given:
            name, _, number = text.partition("=")
            try:
                gates.setdefault(name, {})[bound] = float(number)
            except ValueError:
                raise ValueError(f"{text!r} is not measure=number, such as structure=0.9") from None
    return gates


def shares_of(texts: Sequence[str]) -> dict[str, float]:
    """Return how much each style counts in a mix, from `name=weight`.

    Raises:
        ValueError: not of that form, not above 0, one style twice, or fewer than two.

    """
    shares: dict[str, float] = {}
    for text in texts:
        name, _, weight = text.partition("=")
        try:
            share = float(weight)
        except ValueError:
            share = 0.0
        if not name or name in shares or not 0 < share < math.inf:
            raise ValueError(f"{text!r} is not another style=weight with a number above 0, such as autumn=0.7")
        shares[name] = share
    if len(shares) < 2:
        raise ValueError("name two styles at least")
    return shares


def looks_like_a_picture(text: str) -> bool:
    """Return whether a person who types this means a file, not the name of a style."""
    return "/" in text or text.lower().endswith(PICTURES) or Path(text).is_file()


def read_references(paths: Sequence[Path]) -> dict[str, bytes]:
    """Return a style's pictures, file name to bytes, in the order given.

    Raises:
        ValueError: a file that is missing, or is no picture.

    """
    pictures: dict[str, bytes] = {}
    for path in paths:
        if not path.is_file():
            raise ValueError(f"there is no picture {str(path)!r}")
        content = path.read_bytes()
        if not is_picture(content):
            raise ValueError(f"{str(path)!r} is not a picture: give a JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF file")
        # Two folders may hold pictures of one name; the upload tells them apart by number.
        pictures[path.name if path.name not in pictures else f"{len(pictures)}-{path.name}"] = content
    return pictures


def is_picture(content: bytes) -> bool:
    """Return whether the first bytes are those of a picture; the service checks the rest."""
    return any(content[at : at + len(mark)] == mark for at, mark in SIGNATURES)


def style_name_of(pictures: dict[str, bytes]) -> str:
    """Return a name that follows from the pictures: the same pictures are the same style, however often uploaded."""
    digests = sorted(hashlib.sha256(content).hexdigest() for content in pictures.values())
    digest = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    stem = re.sub(r"[^a-z0-9]+", "-", Path(next(iter(pictures))).stem.lower()).strip("-")[:40].rstrip("-")
    return f"{stem or 'style'}-{digest[:8]}"
