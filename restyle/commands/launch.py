"""`restyle api`, `worker`, `migrate`, `tenants`, `keys`: become one process of a deployment."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from restyle import fleet
from restyle.commands.options import mistakes_in
from restyle.devices import devices_of
from restyle.processes import environment, python_module

PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}
arguments_option = click.argument("arguments", nargs=-1, type=click.UNPROCESSED)


def become(module: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process, so that a signal of a supervisor reaches the program itself."""
    sys.stdout.flush()
    os.execve(sys.executable, python_module(module, *arguments), environment({}))  # noqa: S606


@click.command(context_settings=PASS_ON)
@arguments_option
def api(arguments: Sequence[str]) -> NoReturn:
    """Run the HTTP API in this process (python -m api).

    It takes its settings from RESTYLE_* variables, such as RESTYLE_DATABASE_URL. Needs restyle[api].

    Example:
      RESTYLE_DATABASE_URL=postgresql+psycopg://restyle@db/restyle restyle api

    """
    become("api", arguments)


@click.command()
@click.option(
    "--devices",
    metavar="LIST",
    help="A worker for each name, with commas: all, cpu, cuda:N, GPU-… or MIG-… as in nvidia-smi -L.",
)
@click.option("--check", is_flag=True, help="Only say whether a worker could run here, and end: 0 yes, 2 no.")
def worker(devices: str | None, check: bool) -> int:
    """Run a worker for one device in this process (python -m worker), or one for each of several devices.

    It takes its settings from RESTYLE_* variables. Before it claims anything, it checks device, memory, disk, storage
    and the models' weights, and ends with 2 where they are not fit. SIGTERM lets it finish its batch and exit. Needs
    restyle[worker].

    With --devices this process starts the workers, starts them again when they die, and stops them when it is asked
    to. `all` is every GPU, of one in slices (MIG) each slice, and each core of the processor where there is no GPU. A
    device that is named twice has two workers. A worker that is not fit is tried again every minute while others work.
    It ends with 2 or 1 when no device is left.

    Examples:
      RESTYLE_DATABASE_URL=postgresql+psycopg://restyle@db/restyle restyle worker
      restyle worker --devices all

    """
    if devices is None:
        become("worker", ["--check"] if check else [])
    with mistakes_in("--devices"):
        found = devices_of(devices, os.environ)
    act = fleet.check if check else fleet.run
    return act(found, functools.partial(click.echo, err=True))


@click.command(context_settings=PASS_ON)
@arguments_option
def migrate(arguments: Sequence[str]) -> NoReturn:
    """Bring the database up to date (python -m migrations).

    Safe to run again, and from several places at once.

    Example:
      RESTYLE_DATABASE_URL=postgresql+psycopg://restyle@db/restyle restyle migrate

    """
    become("migrations", arguments)


@click.command(context_settings=PASS_ON)
@arguments_option
def tenants(arguments: Sequence[str]) -> NoReturn:
    """Add, change or list tenants (python -m jobs tenants).

    Each has a share of the workers, limits, and places where it may read and write. It works on the database itself:
    set RESTYLE_DATABASE_URL.

    Examples:
      restyle tenants add acme --weight 2 --max-workers 10 --max-items-per-minute 5000 --allow s3://acme/
      restyle tenants set acme --max-workers none
      restyle tenants list

    """
    become("jobs", ["tenants", *arguments])


@click.command(context_settings=PASS_ON)
@arguments_option
def keys(arguments: Sequence[str]) -> NoReturn:
    """Add, revoke or list the keys of tenants (python -m jobs keys).

    From the first key on the API answers only requests that carry one: clients take theirs from RESTYLE_API_KEY.

    Examples:
      restyle keys add acme
      restyle keys list
      restyle keys revoke 1f0c2a9b44de

    """
    become("jobs", ["keys", *arguments])
