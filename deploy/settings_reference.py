"""Writes the reference of all settings: `python -m deploy.settings_reference docs/reference/settings.md`.

The settings classes are the only source; a test fails when the file differs from what this writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from api.settings import ApiSettings
from jobs.cards import BUILT_IN
from jobs.settings import ENVIRONMENT, Settings
from worker.settings import WorkerSettings

SECTIONS: dict[str, type[Settings]] = {
    "Of every process": Settings,
    "Of the API": ApiSettings,
    "Of a worker": WorkerSettings,
}
HEAD = """\
# Settings

Written by `python -m deploy.settings_reference docs/reference/settings.md` from the settings classes; do not edit.

Every process reads its settings from environment variables when it starts; where a value is not accepted, it says
which and does not start. The API, the workers and the migrations of one installation share the first section.

Credentials of S3 are not settings: they come from where every AWS tool looks for them (`AWS_ACCESS_KEY_ID` and
`AWS_SECRET_ACCESS_KEY`, a profile, or a role of the machine or pod).
"""
MARKS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return f"{ENVIRONMENT['env_prefix']}{field}".upper()


def variables() -> frozenset[str]:
    """Return every variable that some process reads."""
    return frozenset(variable(name) for settings in SECTIONS.values() for name in settings.model_fields)


def reference() -> str:
    """Return the page."""
    return HEAD + "".join(f"\n## {title}\n\n{_table(settings)}" for title, settings in SECTIONS.items())


def _table(settings: type[Settings]) -> str:
    rows = [
        f"| `{variable(name)}` | {_default(field)} | {_accepts(field)} | {_plain(field.description or '')} |"
        for name, field in settings.model_fields.items()
        if settings is Settings or name not in Settings.model_fields
    ]
    return "\n".join(["| variable | default | accepts | meaning |", "| --- | --- | --- | --- |", *rows, ""])


def _plain(text: str) -> str:
    """Escape what Markdown would take for a tag or for the end of a cell."""
    return text.replace("<", "&lt;").replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if value is None or value == ():
        return "unset"
    # Paths depend on where a process starts and where the packages lie, not on the machine that writes this page.
    text = (str(value).lower() if isinstance(value, bool) else str(value)).replace(
        str(BUILT_IN), "worker/weights as installed"
    )
    return f"`{text.replace(str(Path.cwd()), '$PWD')}`"


def _accepts(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    limits = ", ".join(_limits(field))
    return f"{_kind(field.annotation)} {limits}".rstrip()


def _kind(annotation: Any) -> str:
    """Name a field's type; a type without a name here fails, so that none is documented by accident."""
    kinds = {
        SecretStr: "secret text",
        str: "text",
        str | None: "text",
        int: "whole number",
        int | None: "whole number",
        float: "number",
        bool: "`true`, `false`",
        Path: "path",
        Path | None: "path",
        tuple[str, ...]: "texts, by commas",
    }
    return kinds[annotation]


def _limits(field: FieldInfo) -> Iterator[str]:
    for rule in field.metadata:
        for name, mark in MARKS.items():
            if getattr(rule, name, None) is not None:
                yield f"{mark} {getattr(rule, name):g}"
        if getattr(rule, "pattern", None) is not None:
            yield f"matching `{rule.pattern}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
