"""`restyle measures`: how well a job's pictures kept what they show."""

from __future__ import annotations

from collections.abc import Sequence

import click

from restyle.client import Client
from restyle.commands.options import api_option, json_option
from restyle.exits import Exit
from restyle.shapes import MeasureDistribution
from restyle.summary import print_json, print_table

BARS = " ▁▂▃▄▅▆▇█"  # of rising height
BINS_A_BAR = 2  # of fifty: more than a line has room for


@click.command()
@click.argument("job_id")
@api_option
@json_option
def measures(job_id: str, client: Client, as_json: bool) -> int:
    """Show how the measures of a job's pictures are spread, also while it runs. With --json, one object on each line.

    Example:
      restyle measures 0198c5a2-7d3e-7000-8000-1b2c3d4e5f60

    """
    found = client.measures(job_id)
    if as_json:
        for each in found:
            print_json(each)
    else:
        headings = ("measure", "items", "minimum", "5 %", "50 %", "95 %", "maximum", "from", "spread", "to")
        print_table(headings, map(_row, found))
    return Exit.SUCCEEDED


def _row(found: MeasureDistribution) -> tuple[object, ...]:
    values = (found["minimum"], found["p5"], found["p50"], found["p95"], found["maximum"])
    shown = (f"{value:.3g}" for value in values)
    first, last = (f"{found['edges'][number]:g}" for number in (0, -1))
    return found["name"], found["count"], *shown, first, _drawn(found["counts"]), last


def _drawn(counts: Sequence[int]) -> str:
    """Draw a histogram; a bar that stands for anything can be seen."""
    sums = [sum(counts[start : start + BINS_A_BAR]) for start in range(0, len(counts), BINS_A_BAR)]
    highest = max(*sums, 1)
    return "".join(BARS[-(-count * (len(BARS) - 1) // highest)] for count in sums)
