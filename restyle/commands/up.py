"""`restyle up`: the whole service on this machine."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from restyle.embedded import Stack, running_stack
from restyle.exits import Exit


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default="restyle-data",
    show_default=True,
    help="Folder for the database, the storage and the logs. Made if it is missing.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port of the API.")
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    metavar="PLACE",
    help="A URL or folder below which pictures may be read and results written. Repeatable. "
    "[default: the current folder]",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="How many workers.")
def up(data: Path, port: int, allowed: Sequence[str], workers: int) -> int:
    """Run the whole service on this machine until Ctrl-C.

    API, workers, database and broker, with everything in one folder and nothing else to install. A process that dies
    is started again. The data folder stays, and the next run goes on with it.

    Example:
      restyle up --allow ./photos --allow s3://shop/catalogue/

    """
    console = Console(stderr=True, highlight=False)
    places = allowed or [str(Path.cwd())]
    console.print("starting …")
    try:
        with running_stack(data, port=port, allowed=places, workers=workers) as stack:
            _print_places(console, stack, places)
            stack.supervise(lambda text: console.print(text, soft_wrap=True))
    except KeyboardInterrupt:
        console.print("stopped")
    return Exit.SUCCEEDED


def _print_places(console: Console, stack: Stack, places: Sequence[str]) -> None:
    folder = stack.folder
    rows = [
        ("API", f"{stack.url}  (its reference: {stack.url}/docs)"),
        ("database", str(folder.database)),
        ("storage", str(folder.storage)),
        ("logs", str(folder.logs)),
        *(("allowed", place) for place in places),
    ]
    for name, value in rows:
        console.print(f"{name:10}{value}", soft_wrap=True, markup=False)
    api = "" if stack.url.endswith(":8000") else f" --api {stack.url}"
    line = f"restyle enqueue --source {shlex.quote(places[0])} --style look.jpg --watch{api}"
    console.print(f"\nIn another terminal:\n  {line}", soft_wrap=True, markup=False)
    console.print("\nCtrl-C stops everything.")
