"""`restyle pause`, `resume`, `cancel`, `change`, `retry`: what can be done to jobs that exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console

from restyle.client import Client
from restyle.commands.options import (
    SETTLED_STATES,
    MomentText,
    api_option,
    gate_options,
    json_option,
    mistakes_in,
    which_jobs,
)
from restyle.commands.watch import follow
from restyle.exits import Exit
from restyle.shapes import Job
from restyle.sources import gates_of, parameters_of
from restyle.summary import print_job, print_json


@click.command()
@click.argument("job_id", required=False)
@which_jobs
@api_option
@json_option
def pause(job_id: str | None, chosen: dict[str, Any] | None, client: Client, as_json: bool) -> int:
    """Pause a job, or all jobs that fit. What is on a device is finished; nothing more starts.

    Examples:
      restyle pause 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60
      restyle pause --all --priority-below 0

    """
    if chosen is not None:
        return _in_bulk(client, {"action": "pause"} | chosen, as_json=as_json)
    return _show(client.pause(str(job_id)), as_json=as_json)


@click.command()
@click.argument("job_id", required=False)
@which_jobs
@api_option
@json_option
def resume(job_id: str | None, chosen: dict[str, Any] | None, client: Client, as_json: bool) -> int:
    """Let a paused job go on, or confirm one that was enqueued with --confirm.

    Example:
      restyle resume 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60

    """
    if chosen is not None:
        return _in_bulk(client, {"action": "resume"} | chosen, as_json=as_json)
    return _show(client.resume(str(job_id)), as_json=as_json)


@click.command()
@click.argument("job_id", required=False)
@click.option(
    "--mode",
    type=click.Choice(["now", "drain"]),
    default="now",
    show_default=True,
    help="now: nothing that runs is recorded any more; drain: what workers hold is finished first.",
)
@which_jobs
@api_option
@json_option
def cancel(job_id: str | None, mode: str, chosen: dict[str, Any] | None, client: Client, as_json: bool) -> int:
    """Stop a job, or all jobs that fit. What is pending is cancelled; results so far stay.

    Examples:
      restyle cancel 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60 --mode drain
      restyle cancel --all --state paused

    """
    if chosen is not None:
        return _in_bulk(client, {"action": "cancel", "mode": mode} | chosen, as_json=as_json)
    return _show(client.cancel(str(job_id), mode=mode), as_json=as_json)


@click.command()
@click.argument("job_id")
@click.option("--priority", type=click.IntRange(-100, 100), help="Higher runs before lower.")
@click.option("--max-workers", type=click.IntRange(0), help="Most workers at the same time; 0: no limit.")
@click.option("--not-before", type=MomentText(none=True), help="Nothing runs earlier; none: at once.")
@click.option("--deadline", type=MomentText(none=True), help="From then on it is stopped; none: never.")
@api_option
@json_option
def change(
    job_id: str,
    priority: int | None,
    max_workers: int | None,
    not_before: str | None,
    deadline: str | None,
    client: Client,
    as_json: bool,
) -> int:
    """Change how a job is run while it has not ended. The next claim obeys it.

    Example:
      restyle change 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60 --priority 50 --deadline 2026-12-01T06:00Z

    """
    changes: dict[str, Any] = {
        "priority": priority,
        "max_workers": max_workers,
        "not_before_at": not_before,
        "deadline_at": deadline,
    }
    given = {name: _or_none(value) for name, value in changes.items() if value is not None}
    if max_workers == 0:
        given["max_workers"] = None
    if not given:
        raise click.UsageError("say what to change: --priority, --max-workers, --not-before or --deadline")
    return _show(client.change(job_id, given), as_json=as_json)


@click.command()
@click.argument("job_id")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(SETTLED_STATES),
    help="Items in this state. Repeatable. [default: failed, rejected, cancelled]",
)
@click.option("--error-code", "error_codes", multiple=True, metavar="CODE", help="Only with this reason. Repeatable.")
@click.option("--model", help="Another model.")
@click.option("--style", help="Another style, by its name.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the model that differs. Repeatable."
)
@click.option("--quality", type=click.IntRange(1, 100), help="Another encoder quality.")
@gate_options
@click.option("--no-gates", is_flag=True, help="Accept every picture, also those that a gate has rejected.")
@click.option("--key", "idempotency_key", help="Idempotency key: the same line with the same key is the same job.")
@click.option("--dry-run", is_flag=True, help="Only say how many items there are.")
@click.option("--watch", is_flag=True, help="Stay and show the progress until the new job has ended.")
@api_option
@json_option
def retry(
    job_id: str,
    states: Sequence[str],
    error_codes: Sequence[str],
    model: str | None,
    style: str | None,
    settings: Sequence[str],
    quality: int | None,
    minimums: Sequence[str],
    maximums: Sequence[str],
    no_gates: bool,
    idempotency_key: str | None,
    dry_run: bool,
    watch: bool,
    client: Client,
    as_json: bool,
) -> int:
    """Try what did not succeed again, as a new job whose pictures go to the same places.

    Gates, where any are named, take the place of all that the job had.

    Examples:
      restyle retry 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60 --dry-run
      restyle retry 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60 --error-code out_of_memory --watch
      restyle retry 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60 --state rejected --set strength=0.5
      restyle retry 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60 --state rejected --no-gates

    Exit codes with --watch: 0 all items succeeded, 3 some did not, 4 the job failed, 5 it was cancelled.

    """
    with mistakes_in("--set"):
        parameters = parameters_of(settings)
    with mistakes_in("--at-least, --at-most"):
        gates = gates_of(minimums, maximums)
    if gates and no_gates:
        raise click.UsageError("give gates or --no-gates")
    recipe = {
        "model": model,
        "style": style,
        "parameters": parameters or None,
        "quality": quality,
        "gates": gates if gates or no_gates else None,
    }
    asked: dict[str, Any] = {"recipe": {name: value for name, value in recipe.items() if value is not None}}
    asked |= {"states": list(states)} if states else {}
    asked |= {"error_codes": list(error_codes)} if error_codes else {}
    if dry_run:
        matched = client.count_retry(job_id, asked)
        if as_json:
            print_json({"matched": matched})
        else:
            click.echo(f"{matched} items would be tried again")
        return Exit.SUCCEEDED
    job = client.retry(job_id, asked, idempotency_key)
    if watch:
        return follow(client, job["id"], as_json=as_json)
    _show(job, as_json=as_json)
    if not as_json:
        click.echo(f"\nrestyle watch {job['id']}")
    return Exit.SUCCEEDED


def _or_none(value: Any) -> Any:
    return None if value == MomentText.NONE else value


def _show(job: Job, *, as_json: bool) -> int:
    if as_json:
        print_json(job)
    else:
        print_job(Console(), job)
    return Exit.SUCCEEDED


def _in_bulk(client: Client, request: dict[str, Any], *, as_json: bool) -> int:
    """Do it to every job that fits, and say to how many."""
    dry_run = bool(request.get("dry_run"))
    count = client.count_bulk(request) if dry_run else client.bulk(request)
    if as_json:
        print_json({"matched": count} if dry_run else {"changed": count})
    else:
        click.echo(f"{count} jobs fit" if dry_run else f"{count} jobs: {request['action']} done")
    return Exit.SUCCEEDED
