"""`restyle results`, `restyle errors`: what became of a job's items, as lines."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from restyle.client import Client
from restyle.commands.options import api_option, mistakes_in
from restyle.exits import Exit


@click.command()
@click.argument("job_id")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@api_option
def results(job_id: str, output: Path, client: Client) -> int:
    """Save what became of each item of a job, a JSON line per item: the job's manifest.

    While the job runs, it is what has settled so far, by whole parts. Each part is checked against its sha256.

    Example:
      restyle results 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60 --output results.jsonl

    """
    with mistakes_in("--output"), output.open("wb") as file:
        items, complete = client.save_results(job_id, file)
    click.echo(f"{items} items{'' if complete else ' so far'} in {output}", err=True)
    return Exit.SUCCEEDED


@click.command()
@click.argument("job_id")
@api_option
def errors(job_id: str, client: Client) -> int:
    """Print what has not succeeded, a JSON line per item: a manifest for the next job. Also while the job runs.

    Example:
      restyle errors 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60 > errors.jsonl

    """
    for chunk in client.errors(job_id):
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
    return Exit.SUCCEEDED
