"""What CSV and JSONL manifests share: bounded lines, rows, and the reasons why a line can be no row.

`jobs.manifests` is the way in; it alone uses this module.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from jobs.locations import key_fault
from jobs.source_urls import is_composed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_ROW_BYTES = 64 * 1024
COMPOSED = ("keys", "label_title")  # members of rows that need no key, as their pictures are put together
SHOWN_CHARACTERS = 200  # of a bad row
SHOWN_VALUE_CHARACTERS = 80
UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")  # what could take over a terminal
# A line that has them all is one of ours, from the errors file of an earlier job: they are no attributes.
RESULT_MEMBERS = frozenset({"item", "state", "error_code", "error_message"})


class BadRowCode(StrEnum):
    """Why a line can be no row. Stable: scripts match on them."""

    KEY_MISSING = "key_missing"
    KEY_INVALID = "key_invalid"  # no object can have this key
    PRODUCT_ID_INVALID = "product_id_invalid"  # neither text nor a whole number
    BROKEN_LINE = "broken_line"  # not a line of this format
    FIELD_COUNT = "field_count"  # CSV: more or fewer fields than columns
    MEMBER_REPEATED = "member_repeated"  # JSONL: which of the two values is meant?
    WRONG_ENCODING = "wrong_encoding"  # not UTF-8
    ROW_TOO_LONG = "row_too_long"


class Row(NamedTuple):  # as Line, made once per line: several times as fast as a frozen dataclass
    """One picture of a manifest."""

    row_no: int  # the line as an editor counts it; in CSV, the first line of the record
    product_id: str | None
    key: str  # as written; not empty, and nothing that `key_fault` finds fault with
    attributes: dict[str, object]  # JSON values without NUL, half characters and infinities; from CSV strings


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A line of a manifest that can be no row."""

    row_no: int
    code: str  # a BadRowCode, or why planning refused the key of a whole row
    message: str  # what was got and what to write instead
    text: str  # the beginning of the line, made printable


class BadLineError(Exception):
    """A line cannot be used; its place and text are added by `bad_row`."""

    def __init__(self, code: BadRowCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Line(NamedTuple):
    """One line with its end, or the beginning of one that is too long."""

    number: int
    data: bytes
    too_long: bool

    @property
    def blank(self) -> bool:
        return not self.too_long and not self.data.strip()

    def text(self) -> str:
        """Return the line; raise BadLineError if it is not the whole of a line of UTF-8 text."""
        if self.too_long:
            raise BadLineError(BadRowCode.ROW_TOO_LONG, f"the line has more than {MAX_ROW_BYTES} bytes: shorten it")
        try:
            text = self.data.decode()
        except UnicodeDecodeError as error:
            byte, position = self.data[error.start], error.start + 1
            message = f"line {self.number} is not UTF-8 (byte 0x{byte:02x} at position {position}): save it as UTF-8"
            raise BadLineError(BadRowCode.WRONG_ENCODING, message) from error
        if "\0" in text:
            raise BadLineError(BadRowCode.BROKEN_LINE, "the line contains a NUL character: remove it")
        return text


class Lines:
    """The lines of a stream, of which some may be given back to be read again."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._number = 0
        self._given_back: deque[Line] = deque()

    def take(self) -> Line | None:
        """Return the next line, or None behind the last one."""
        if self._given_back:
            return self._given_back.popleft()
        data = rest = self._stream.readline(MAX_ROW_BYTES + 1)
        if not data:
            return None
        while len(rest) > MAX_ROW_BYTES and not rest.endswith(b"\n"):
            rest = self._stream.readline(MAX_ROW_BYTES + 1)
        self._number += 1
        too_long = len(data) > MAX_ROW_BYTES
        return Line(self._number, data.removeprefix(codecs.BOM_UTF8) if self._number == 1 else data, too_long)

    def give_back(self, lines: Iterable[Line]) -> None:
        """Make these, in the order in which they were taken, the next lines."""
        self._given_back.extendleft(reversed(list(lines)))


def make_row(line: Line, members: Mapping[str, object], *, needs_key: bool = True) -> Row:
    """Make a row of what a line says, whatever its format; raise BadLineError if that is none."""
    rest = dict(members)
    if "error_code" in rest and rest.keys() >= RESULT_MEMBERS:
        for name in RESULT_MEMBERS:
            del rest[name]
    key = rest.pop("key", None)
    needs_key = needs_key and not any(map(rest.get, COMPOSED))
    key = "" if not (needs_key or key) else _key(key)
    product_id = _product_id(rest.pop("product_id", None))
    nested = rest.get("attributes")
    if isinstance(nested, dict):  # as we write them
        del rest["attributes"]
        rest.update(nested)
    return Row(line.number, product_id, key, rest)


def bad_row(line: Line, error: BadLineError) -> BadRow:
    """Say where the line stands and how it begins."""
    text = UNPRINTABLE.sub("\ufffd", line.data[: 4 * SHOWN_CHARACTERS].decode(errors="replace").rstrip("\r\n"))
    return BadRow(row_no=line.number, code=error.code, message=error.message, text=text[:SHOWN_CHARACTERS])


def _key(value: object) -> str:
    if value is None or value == "":
        raise BadLineError(BadRowCode.KEY_MISSING, "there is no key: name the picture in `key`")
    if not isinstance(value, str):
        raise BadLineError(BadRowCode.KEY_INVALID, f"key is {_shown(value)}: write it as text")
    fault = None if is_composed(value) else key_fault(value)  # a sheet, in an errors file of ours, holds many keys
    if fault:
        raise BadLineError(BadRowCode.KEY_INVALID, f"key is {_shown(value)}: {fault}")
    return value


def _product_id(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, str):
        return value or None
    message = f"product_id is {_shown(value)}: write it as text, or leave it out"
    raise BadLineError(BadRowCode.PRODUCT_ID_INVALID, message)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_VALUE_CHARACTERS else text[:SHOWN_VALUE_CHARACTERS] + "…"
