"""`restyle demo`: see it work, in one line."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from restyle.commands.options import mistakes_in
from restyle.demo import DemoPlan, check, run_demo
from restyle.exits import exit_of


@click.command()
@click.option(
    "--catalogue", type=click.Path(path_type=Path), metavar="DIR", help="Folder of pictures. [default: a drawn sample]"
)
@click.option(
    "--style", type=click.Path(path_type=Path), metavar="PICTURE", help="The look to give. [default: a drawn sample]"
)
@click.option("--model", default="reference-grade", show_default=True, help="Which model.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default="demo",
    show_default=True,
    help="Where everything that the demo writes goes.",
)
@click.option("--keep", is_flag=True, help="Keep the stack's database, storage and logs, until the next demo.")
def demo(catalogue: Path | None, style: Path | None, model: str, folder: Path, keep: bool) -> int:
    """Show it at work: a catalogue before and after, in a minute.

    Draws a sample catalogue or takes yours, starts the whole service, sends it one job through its HTTP API, and
    stops everything at the end.

    Examples:
      restyle demo
      restyle demo --catalogue ./photos --style look.jpg

    Exit codes: 0 all items succeeded, 3 some did not, 4 the job failed.

    """
    plan = DemoPlan(folder=folder.absolute(), catalogue=catalogue, style=style, model=model, keep=keep)
    with mistakes_in("--catalogue / --style"):
        check(plan)
    console = Console(stderr=True)
    try:
        return exit_of(run_demo(plan, console))
    except KeyboardInterrupt:
        console.print("stopped, and everything that was started")
        raise
