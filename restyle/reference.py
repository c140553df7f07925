"""The reference of the command, from its help texts: `python -m restyle.reference docs/cli.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from restyle.commands import SECTIONS, restyle

HEAD = """\
# The `restyle` command

Made from the help texts by `make docs`; a test fails when it is out of date.
`--json` prints one JSON object to stdout, lists one object on each line; progress and errors go to stderr.
"""
WIDTH = 100


def reference() -> str:
    """Return the page as Markdown."""
    parts = [HEAD, _help(restyle, "restyle")]
    for title, commands in SECTIONS.items():
        parts.append(f"## {title}\n")
        for command in commands:
            parts += [f"### {path}\n\n{_help(part, path)}" for part, path in _with_parts(command)]
    return "\n".join(parts)


def _with_parts(command: click.Command, parent: str = "restyle") -> Iterator[tuple[click.Command, str]]:
    path = f"{parent} {command.name}"
    yield command, path
    if isinstance(command, click.Group):
        for part in command.commands.values():
            yield from _with_parts(part, path)


def _help(command: click.Command, path: str) -> str:
    # A width of its own: the page must not depend on the terminal that it was made in.
    context = click.Context(command, info_name=path, terminal_width=WIDTH, help_option_names=["-h", "--help"])
    return f"```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
