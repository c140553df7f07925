"""`restyle styles`: the looks that jobs can use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from restyle.client import Client
from restyle.commands.options import api_option, json_option, mistakes_in
from restyle.exits import Exit
from restyle.sources import read_references, shares_of
from restyle.summary import print_json, print_table


class ListsByDefault(click.Group):
    """Takes `restyle styles` for `restyle styles list`, with its options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=ListsByDefault)
def styles() -> None:
    """List styles, or add one. A style is a look, taken from one or several reference pictures.

    Without a command it lists them.
    """


@styles.command("list")
@api_option
@json_option
def list_styles(client: Client, as_json: bool) -> int:
    """List every style. With --json, one object on each line.

    Example:
      restyle styles list

    """
    found = client.styles()
    if as_json:
        for style in found:
            print_json(style)
    else:
        rows = ((style["name"], len(style["references"]), style["created_at"]) for style in found)
        print_table(("name", "pictures", "created"), rows)
    return Exit.SUCCEEDED


@styles.command("add")
@click.argument("name")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@api_option
@json_option
def add_style(name: str, pictures: Sequence[Path], client: Client, as_json: bool) -> int:
    """Add a style under a name. The same pictures again change nothing; other pictures need another name.

    Example:
      restyle styles add autumn look-1.jpg look-2.jpg

    """
    with mistakes_in("PICTURES"):
        references = read_references(pictures)
    style = client.create_style(name, references)
    if as_json:
        print_json(style)
    else:
        click.echo(f"style {style['name']} is there: restyle enqueue --source … --style {style['name']}")
    return Exit.SUCCEEDED


@styles.command("mix")
@click.argument("name")
@click.argument("shares", nargs=-1, required=True, metavar="STYLE=WEIGHT…")
@api_option
@json_option
def mix_styles(name: str, shares: Sequence[str], client: Client, as_json: bool) -> int:
    """Make a style under a name, of two or more that are there; a larger weight counts more.

    Example:
      restyle styles mix late-autumn autumn=0.7 night=0.3

    """
    with mistakes_in("STYLE=WEIGHT"):
        wanted = shares_of(shares)
    style = client.mix_styles(name, wanted)
    if as_json:
        print_json(style)
    else:
        click.echo(f"style {style['name']} is there: restyle enqueue --source … --style {style['name']}")
    return Exit.SUCCEEDED
