"""`restyle watch`, and how other commands follow a job to its end."""

from __future__ import annotations

import click
from rich.console import Console

from restyle.client import Client
from restyle.commands.options import api_option, json_option
from restyle.exits import Exit, exit_of
from restyle.progress import JobProgress
from restyle.shapes import Job
from restyle.summary import print_job, print_json


@click.command()
@click.argument("job_id")
@api_option
@json_option
def watch(job_id: str, client: Client, as_json: bool) -> int:
    """Follow a job to its end.

    Shows a progress bar, then the counts and where things are. Ctrl-C stops the watching, never the job.

    Example:
      restyle watch 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60

    Exit codes: 0 all items succeeded, 3 some did not, 4 the job failed, 5 it was cancelled.

    """
    return follow(client, job_id, as_json=as_json)


def follow(client: Client, job_id: str, *, as_json: bool) -> int:
    """Show a job until it has ended, print it, and return the exit code of its outcome."""
    job = followed(client, job_id)
    if job is None:
        return Exit.INTERRUPTED
    if as_json:
        print_json(job)
    else:
        print_job(Console(), job)
    return exit_of(job)


def followed(client: Client, job_id: str) -> Job | None:
    """Show a job until it has ended and return it; None when Ctrl-C came first."""
    errors = Console(stderr=True)
    try:
        with JobProgress(errors) as progress:
            return client.wait(job_id, on_progress=progress.show)
    except KeyboardInterrupt:
        errors.print(
            "\nNo longer watching; the job goes on.\n"
            f"watch it again: restyle watch {job_id}\nstop it:        restyle cancel {job_id}",
            highlight=False,
            soft_wrap=True,
        )
        return None
