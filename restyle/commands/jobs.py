"""`restyle jobs`, `restyle items`: look at jobs and their items."""

from __future__ import annotations

from itertools import islice

import click

from restyle.client import Client
from restyle.commands.options import ITEM_STATES, JOB_STATES, api_option, json_option
from restyle.exits import Exit
from restyle.shapes import Item
from restyle.summary import one_line, place, print_json, print_table


@click.command()
@click.option("--state", type=click.Choice(JOB_STATES), help="Only jobs in this state.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@api_option
@json_option
def jobs(state: str | None, limit: int, client: Client, as_json: bool) -> int:
    """List jobs, the newest first. With --json, one object on each line.

    Example:
      restyle jobs --state running

    """
    found = islice(client.jobs(state=state), limit)
    if as_json:
        for job in found:
            print_json(job)
    else:
        print_table(("id", "state", "outcome", "items", "failed", "created"), map(one_line, found))
    return Exit.SUCCEEDED


@click.command()
@click.argument("job_id")
@click.option("--state", type=click.Choice(ITEM_STATES), help="Only items in this state.")
@click.option("--error-code", metavar="CODE", help="Only items with this reason, such as truncated.")
@click.option("--limit", type=click.IntRange(1), help="At most so many. [default: all]")
@api_option
@json_option
def items(
    job_id: str, state: str | None, error_code: str | None, limit: int | None, client: Client, as_json: bool
) -> int:
    """List a job's items, with the reason where one failed. With --json, one object on each line.

    Example:
      restyle items 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60 --state failed

    """
    found = islice(client.items(job_id, state=state, error_code=error_code), limit)
    if as_json:
        for item in found:
            print_json(item)
        return Exit.SUCCEEDED
    print_table(("item", "state", "source", "result", "reason"), map(_row, found))
    return Exit.SUCCEEDED


def _row(item: Item) -> tuple[object, ...]:
    error = item["error"]
    reason = f"{error['code']}: {error['message']}" if error else None
    result = item["output_url"]
    return item["item_no"], item["state"], place(item["source_url"]), result and place(result), reason
