"""From the validator's errors to faults: the field as the caller wrote it, the value, the remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from api.schemas.problems import Fault

SHOULD_BE = "it should be "
SURPLUS = re.compile(r", (unable to|invalid|expected) .*")  # how the validator failed to read the value
MAX_VALUE_LENGTH = 200  # characters of its JSON; who sent more knows what it was


def faults_of(errors: Sequence[Mapping[str, Any]], body: Any) -> list[Fault]:
    """Return one fault per field. A value that fits no member of a union is several errors and one fault."""
    remedies: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    for error in errors:
        field = _field(error, body)
        remedy = _remedy(error).replace("Input should be ", SHOULD_BE)
        if remedy not in remedies.setdefault(field, []):
            remedies[field].append(remedy)
        values[field] = None if error["type"] == "missing" else _value(error)
    return [Fault(field=field, value=shown(values[field]), remedy=_joined(remedies[field])) for field in remedies]


def _joined(remedies: Sequence[str]) -> str:
    first, *others = remedies
    return " or ".join([first, *(other.removeprefix(SHOULD_BE) for other in others)])


def shown(value: Any) -> Any:
    """Return a value as JSON can carry it, shortened if it is long."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        text = ascii(value)
        value = text
    return value if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}…"


def _field(error: Mapping[str, Any], body: Any) -> str:
    """Return the dotted path of what is wrong.

    The validator's path also has the names of union members in it, which a caller never wrote: what does not
    occur in the body is left out, unless it is what is missing.
    """
    place, *path = error["loc"]
    if place != "body":
        return ".".join(map(str, (place, *path)))
    names: list[str] = []
    for number, part in enumerate(path):
        inside = (isinstance(body, Mapping) and part in body) or (
            isinstance(body, list) and isinstance(part, int) and part < len(body)
        )
        if inside:
            body = body[part]
        if inside or (error["type"] == "missing" and number == len(path) - 1):
            names.append(str(part))
    if error["type"].startswith("union_tag"):
        names.append(error["ctx"]["discriminator"].strip("'"))
    return ".".join(names) or "body"


def _value(error: Mapping[str, Any]) -> Any:
    if error["type"] == "union_tag_invalid":
        return error["ctx"]["tag"]
    return None if error["type"] == "union_tag_not_found" else error["input"]


def _remedy(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind == "missing":
        return "give it, it is required"
    if kind == "extra_forbidden":
        return "leave it out, there is no such field"
    if kind.startswith("union_tag"):
        expected = error["ctx"].get("expected_tags")
        return f"give one of {expected}" if expected else "give it, it is required"
    if kind in {"model_attributes_type", "model_type"}:
        inside = len(error["loc"]) > 1
        return "give a JSON object" if inside else "send a JSON object, with Content-Type: application/json"
    if kind == "string_pattern_mismatch":
        return f"use text that matches {error['ctx']['pattern']}"
    if "UploadFile" in str(error["msg"]):  # the framework's own check, which has no type
        return "upload a file under this name"
    return SURPLUS.sub("", str(error["msg"]))
