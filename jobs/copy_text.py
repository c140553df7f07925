"""Rows as COPY reads them, made a column at a time: several times as fast as a value at a time."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

from sqlalchemy import JSON, Enum, LargeBinary, Text, Uuid
from sqlalchemy.sql.schema import Column, Table

from jobs.records import Figures, UtcDateTime

NULL = "\\N"
SPECIAL = re.compile(r"[\\\t\n\r]")
ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def copy_text(table: Table, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the rows in COPY's text format, each with the columns of these names."""
    columns = [_column(table.c[name], [row[name] for row in rows]) for name in names]
    return "".join(f"{line}\n" for line in map("\t".join, zip(*columns, strict=True))).encode()


def _column(column: Column[Any], values: list[Any]) -> Iterable[str]:
    """Return the texts of one column, escaped."""
    first = values[0]
    if all(value is first for value in values):  # the job's id, the worker's, the moment …
        return repeat(_one(column, first), len(values))
    if None in values:
        return [_one(column, value) for value in values]
    if isinstance(column.type, Text):  # as a rule, none of a million names needs escaping
        whole = "".join(values)
        return [str(value).translate(ESCAPES) for value in values] if SPECIAL.search(whole) else values
    return list(map(_text_of(column), values))


def _one(column: Column[Any], value: Any) -> str:
    return NULL if value is None else _text_of(column)(value)


def _text_of(column: Column[Any]) -> Callable[[Any], str]:
    match column.type:
        case Text():
            return lambda value: str(value).translate(ESCAPES)
        case Enum():
            return lambda value: str(value.value)
        case UtcDateTime():
            return lambda value: str(value.astimezone(datetime.UTC))
        case LargeBinary():
            return lambda value: rf"\\x{value.hex()}"
        case Uuid():
            return lambda value: str(value.hex)
        case Figures() as figures:
            return lambda value: f"{{{','.join(map(_number, figures.ordered(value)))}}}"
        case JSON():
            return lambda value: ENCODER.encode(value).translate(ESCAPES)
        case _:
            return str  # of numbers, and of booleans, whose names Postgres reads


def _number(value: float | None) -> str:
    return "NULL" if value is None else str(value)
