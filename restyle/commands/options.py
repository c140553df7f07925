"""Options that several commands share, and how mistakes in them are said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from restyle.client import DEFAULT_URL, Client

Command = TypeVar("Command", bound=Callable[..., Any])

JOB_STATES = ("planning", "queued", "running", "paused", "cancelling", "finishing", "ended")
ITEM_STATES = ("pending", "succeeded", "reused", "rejected", "failed", "cancelled")


class ApiAddress(click.ParamType[Client]):
    """Turns an address into a client of it."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Client:
        try:
            client = Client(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if ctx is not None:
            ctx.call_on_close(client.close)
        return client


def api_option(command: Command) -> Command:
    """Give a command the argument `client`."""
    return click.option(
        "--api",
        "client",
        type=ApiAddress(),
        default=DEFAULT_URL,
        envvar="RESTYLE_API_URL",
        show_default=True,
        show_envvar=True,
        help="Address of the Restyle API.",
    )(command)


def json_option(command: Command) -> Command:
    """Give a command the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout, for scripts.")(command)


@contextmanager
def mistakes_in(option: str) -> Iterator[None]:
    """Say a ValueError as a mistake in the use of an option: exit code 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise click.BadParameter(str(error), param_hint=option) from error
