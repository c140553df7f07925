"""Manifests: one picture a line, as CSV or JSONL, read as a stream and written by us as JSONL.

Columns: `key` (required), `product_id`, and any others, which become the row's attributes. A line that cannot
be used is yielded as a BadRow, and reading goes on behind it; what follows from it is for planning to say.
The whole format, with what we write ourselves, is in `docs/keys.md`.
"""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import asdict
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from jobs.errors import SourceRefused
from jobs.locations import key_fault
from jobs.manifest_lines import (
    COMPOSED,
    MAX_ROW_BYTES,
    RESULT_MEMBERS,
    BadLineError,
    BadRow,
    BadRowCode,
    Line,
    Lines,
    Row,
    bad_row,
    make_row,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "BadRow",
    "BadRowCode",
    "ManifestFormat",
    "Row",
    "bad_row_line",
    "encode_line",
    "manifest_format",
    "manifest_line",
    "read_rows",
]

SURROGATE = re.compile("[\ud800-\udfff]")
FLAWLESS = frozenset({str, int, bool, type(None)})  # where nothing was written by an escape
MAX_DEPTH = 32  # of values within values, so that nothing that reads them later runs out of stack


class ManifestFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


def manifest_format(key: str) -> ManifestFormat:
    """Tell the format from the name's ending; raise SourceRefused for an unknown one."""
    ending = PurePosixPath(key).suffix.lower()
    if ending == ".csv":
        return ManifestFormat.CSV
    if ending in {".jsonl", ".ndjson"}:
        return ManifestFormat.JSONL
    raise SourceRefused(
        f"the manifest {key!r} ends in neither .csv nor .jsonl nor .ndjson: name it after its format",
        code="manifest_format_unknown",
    )


def read_rows(stream: BinaryIO, manifest_format: ManifestFormat, *, needs_key: bool = True) -> Iterator[Row | BadRow]:
    """Yield a Row or a BadRow for every line that is not blank, in flat memory.

    `needs_key`: whether a row must name a picture, unless its own is put together of what it names instead; the key of
    one that need not, and does not, is "".

    Raises SourceRefused if the header of a CSV manifest cannot be used.
    """
    lines = Lines(stream)
    csv = manifest_format is ManifestFormat.CSV
    return _read_csv(lines, needs_key=needs_key) if csv else _read_jsonl(lines, needs_key=needs_key)


# Writing


def encode_line(members: Mapping[str, object]) -> bytes:
    """Encode one line of JSONL, canonically: equal members give equal bytes."""
    text = json.dumps(members, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def manifest_line(
    *,
    key: str,
    product_id: str | None,
    attributes: Mapping[str, object],
    item: int | str,  # the item's name in its job
    state: str,
    error_code: str | None,
    error_message: str | None,
) -> bytes:
    """Encode an item of a job as a line of the errors file, which may be the next job's manifest."""
    return encode_line(
        {
            "key": key,
            "product_id": product_id,
            "attributes": attributes,
            "item": item,
            "state": state,
            "error_code": error_code,
            "error_message": error_message,
        }
    )


def bad_row_line(bad: BadRow) -> bytes:
    """Encode a bad row as a note in the errors file, which reading passes over."""
    return encode_line({"bad_row": asdict(bad)})


# JSONL


def _read_jsonl(lines: Lines, *, needs_key: bool) -> Iterator[Row | BadRow]:
    while (line := lines.take()) is not None:
        plain = _plain_row(line)
        if plain is not None:
            yield plain
            continue
        if line.blank:
            continue
        try:
            members = _json_members(line.text())
            if "key" not in members and isinstance(members.get("bad_row"), dict):
                continue  # a note that we wrote
            yield make_row(line, members, needs_key=needs_key)
        except BadLineError as error:
            yield bad_row(line, error)


def _plain_row(line: Line) -> Row | None:
    """Make a row of a line of short texts without escapes, as most are; None where it takes a closer look."""
    data = line.data
    if line.too_long or b"\\" in data or not data.endswith(b"}\n"):
        return None
    try:
        text = data.decode()
        members, end = _scan(text, 0)
    except (StopIteration, ValueError, RecursionError):
        return None
    if end != len(text) - 1 or type(members) is not dict:
        return None
    for value in members.values():
        if type(value) is not str:
            return None
    # Each member has four quotation marks, unless one of its name came before it and is lost.
    if data.count(b'"') != 4 * len(members) or members.keys() >= RESULT_MEMBERS:
        return None
    key = members.pop("key", "")
    if not key or key_fault(key):
        return None
    return Row(line.number, members.pop("product_id", None) or None, key, members)


def _json_members(text: str) -> dict[str, object]:
    try:
        members = _decode(text)
    except json.JSONDecodeError as error:
        message = f"the line is not JSON ({error.msg} at character {error.pos + 1}): write one object a line"
        raise BadLineError(BadRowCode.BROKEN_LINE, message) from error
    except (ValueError, RecursionError) as error:
        message = "the line holds a number that is too long or values nested too deep: shorten it"
        raise BadLineError(BadRowCode.BROKEN_LINE, message) from error
    if not isinstance(members, dict):
        raise BadLineError(BadRowCode.BROKEN_LINE, 'the line is no JSON object: write {"key": …}')
    # Text without escapes can hold no flaw: that spares most lines the walk.
    plain = "\\u" not in text and FLAWLESS.issuperset(map(type, members.values()))
    flaw = None if plain else _flaw(members, 0)
    if flaw:
        raise BadLineError(BadRowCode.BROKEN_LINE, f"the line contains {flaw}: remove it")
    return members


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise BadLineError(BadRowCode.MEMBER_REPEATED, f"the member {repeated!r:.100} is there twice: keep one")
    return members


_decode = json.JSONDecoder(object_pairs_hook=_without_repeats).decode
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # what `decode` does around it takes as long again


def _flaw(value: object, depth: int) -> str | None:
    """What JSON's grammar lets through and a database does not keep, or None."""
    match value:
        case str():
            if "\0" in value:
                return "a NUL character (\\u0000)"
            return "half a character (\\ud800 to \\udfff)" if SURROGATE.search(value) else None
        case float():
            return None if math.isfinite(value) else "a number that is not finite"
        case dict() | list():
            if depth >= MAX_DEPTH:
                return f"values nested more than {MAX_DEPTH} deep"
            inner = [*value, *value.values()] if isinstance(value, dict) else value
            return next((flaw for each in inner if (flaw := _flaw(each, depth + 1))), None)
        case _:
            return None


# CSV


def _read_csv(lines: Lines, *, needs_key: bool) -> Iterator[Row | BadRow]:
    records = _Records(lines)
    columns = _read_header(records, needs_key=needs_key)
    if columns is None:
        return
    while (line := records.begin()) is not None:
        try:
            yield make_row(line, _csv_members(columns, records.fields()), needs_key=needs_key)
        except BadLineError as error:
            yield bad_row(line, error)


def _csv_members(columns: list[str], fields: list[str]) -> dict[str, object]:
    if len(fields) != len(columns):
        message = f"the row has {len(fields)} fields, the header {len(columns)}: write one for each column"
        raise BadLineError(BadRowCode.FIELD_COUNT, message)
    return {name: field for name, field in zip(columns, fields, strict=True) if name}


def _read_header(records: _Records, *, needs_key: bool) -> list[str] | None:
    """Return the columns' names, "" for one that has none, or None if the manifest is empty."""
    line = records.begin()
    if line is None:
        return None
    try:
        columns = [field.strip() for field in records.fields()]
    except BadLineError as error:
        message = f"the header of the manifest, line {line.number}, cannot be read: {error.message}"
        raise SourceRefused(message, code="manifest_header_broken") from error
    found = ", ".join(repr(name) for name in columns)[:1000]
    if needs_key and {"key", *COMPOSED}.isdisjoint(columns):
        message = f"the manifest has no column `key`: its columns, separated by commas, are {found}"
        raise SourceRefused(message, code="manifest_no_key_column")
    named = [name for name in columns if name]
    if len(set(named)) < len(named):
        message = f"the manifest has two columns of one name: its columns are {found}"
        raise SourceRefused(message, code="manifest_header_broken")
    return columns


class _Records:
    """CSV records from lines: a quoted field may run over several.

    A quote that is never closed would swallow the rest of the manifest; so a record is bounded like a line,
    and when it is no CSV, all its lines but the first are read again as lines of their own.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._record: list[Line] = []
        self._given = 0  # lines of the record that the parser has had
        self._size = 0
        self._parser = csv.reader(self, strict=True)

    def begin(self) -> Line | None:
        """Return the first line of the next record, or None behind the last one."""
        while (line := self._lines.take()) is not None and line.blank:
            pass
        self._record, self._given, self._size = ([line] if line else []), 0, 0
        return line

    def fields(self) -> list[str]:
        """Return the record's fields; raise BadLineError if it is none."""
        try:
            fields = next(self._parser)
        except BadLineError:
            self._lines.give_back(self._record[1:])
            raise
        except (csv.Error, StopIteration) as error:
            self._lines.give_back(self._record[1:])
            reason = str(error).partition(" - ")[0]  # the rest is advice for programmers
            message = f"the line is not CSV ({reason}): close quotes, and double those within quotes"
            raise BadLineError(BadRowCode.BROKEN_LINE, message) from error
        for line in self._record:
            line.text()
        return fields

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Hand the parser a line of the record, which it asks for until the record is whole."""
        if self._given == len(self._record):
            line = self._lines.take()
            if line is None:
                raise StopIteration
            self._record.append(line)
        line = self._record[self._given]
        self._given += 1
        self._size += len(line.data)
        if line.too_long:
            line.text()
        if self._size > MAX_ROW_BYTES:
            message = f"a quoted field begins here and does not end within {MAX_ROW_BYTES} bytes: close it"
            raise BadLineError(BadRowCode.BROKEN_LINE, message)
        # Broken text keeps its quotes and commas here, so that the record ends where it should; `fields`
        # refuses it when the record is whole.
        return line.data.decode(errors="surrogateescape")
