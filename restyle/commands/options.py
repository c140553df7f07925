"""Options that several commands share, and how mistakes in them are said."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import click

from restyle.client import DEFAULT_URL, Client

Command = TypeVar("Command", bound=Callable[..., Any])

JOB_STATES = ("planning", "queued", "running", "paused", "cancelling", "finishing", "ended")
ITEM_STATES = ("pending", "succeeded", "reused", "rejected", "failed", "cancelled")


SETTLED_STATES = ITEM_STATES[1:]


class MomentText(click.ParamType[str]):
    """A moment such as 2026-12-01T06:00Z; without an offset, of this machine's time zone."""

    name = "MOMENT"
    NONE = "none"

    def __init__(self, *, none: bool = False) -> None:
        """`none`: whether the word `none` is taken, too."""
        self._none = none

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if self._none and value == self.NONE:
            return self.NONE
        try:
            return datetime.datetime.fromisoformat(value).astimezone().isoformat()
        except ValueError:
            self.fail(f"{value!r} is not a moment such as 2026-12-01T06:00Z", param, ctx)


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


def gate_options(command: Command) -> Command:
    """Give a command the arguments `minimums` and `maximums`: see `restyle.sources.gates_of`."""
    at_least = click.option(
        "--at-least",
        "minimums",
        multiple=True,
        metavar="MEASURE=NUMBER",
        help="A gate, such as structure=0.9: pictures below it are rejected. Repeatable.",
    )
    at_most = click.option(
        "--at-most",
        "maximums",
        multiple=True,
        metavar="MEASURE=NUMBER",
        help="A gate, such as colour_shift=3: pictures above it are rejected. Repeatable.",
    )
    return at_least(at_most(command))


def which_jobs(command: Command) -> Command:
    """Let a command take one job or, with --all, every job that fits: the argument `chosen`, None for one."""

    @click.option("--all", "all_jobs", is_flag=True, help="Instead of one job, every job that fits.")
    @click.option(
        "--state", "states", multiple=True, type=click.Choice(JOB_STATES), help="With --all: in this state. Repeatable."
    )
    @click.option("--created-before", type=MomentText(), help="With --all: enqueued before.")
    @click.option("--created-after", type=MomentText(), help="With --all: enqueued at or after.")
    @click.option("--priority-below", type=click.IntRange(-100, 101), help="With --all: of a lower priority.")
    @click.option("--dry-run", is_flag=True, help="With --all: only say how many fit.")
    @functools.wraps(command)
    def choosing(job_id: str | None, all_jobs: bool, states: Sequence[str], dry_run: bool, **others: Any) -> Any:
        names = ("created_before", "created_after", "priority_below")
        given = {name: others.pop(name) for name in names}
        wanted = {name: value for name, value in given.items() if value is not None}
        wanted |= {"states": list(states)} if states else {}
        if all_jobs == (job_id is not None):
            raise click.UsageError("name one job, or give --all for every job that fits")
        if not all_jobs and (wanted or dry_run):
            raise click.UsageError("the options that choose jobs need --all")
        chosen = {"filter": wanted, "dry_run": dry_run} if all_jobs else None
        return command(job_id=job_id, chosen=chosen, **others)

    return cast("Command", choosing)


@contextmanager
def mistakes_in(option: str) -> Iterator[None]:
    """Say a ValueError as a mistake in the use of an option: exit code 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise click.BadParameter(str(error), param_hint=option) from error
