from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from restyle.commands import restyle
from restyle.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def commands(command: click.Command = restyle, path: str = "restyle") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, part in command.commands.items():
            yield from commands(part, f"{path} {name}")


EVERY = list(commands())


def test_the_page_says_what_the_command_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "make docs"


@pytest.mark.parametrize(("path", "command"), EVERY)
def test_every_command_says_what_it_is_for_and_shows_an_example(path: str, command: click.Command) -> None:
    assert command.help
    assert "Example" in command.help or isinstance(command, click.Group)


@pytest.mark.parametrize(("path", "command"), EVERY)
def test_every_option_is_explained(path: str, command: click.Command) -> None:
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help, option.name
