"""What is printed about jobs: the end of one, and lists. Tables go to the console given, JSON to stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from restyle.progress import settled, taken
from restyle.shapes import Job

COLOURS = {"succeeded": "green", "partial": "yellow", "failed": "red", "cancelled": "yellow", "expired": "yellow"}
SHOWN_ROWS = 10  # of the bad rows of a manifest; the rest is in the job itself


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False))


def place(url: str) -> str:
    """Return a URL as a person uses it: a local path for file:// URLs."""
    return url.removeprefix("file://")


def print_job(console: Console, job: Job) -> None:
    """Print a job: its state, what became of its items, and where things are."""
    print_outcome(console, job)
    print_places(console, places(job))


def print_outcome(console: Console, job: Job) -> None:
    """Print a job's state or outcome, what became of its items, and why it failed as a whole."""
    word = job["outcome"] or job["state"]
    console.print(Text.assemble("job ", job["id"], " ", (word, f"bold {COLOURS.get(word, 'cyan')}")))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", style="bold")
    table.add_column()
    for name, count in shown_counts(job):
        table.add_row(str(count), name)
    console.print(table)
    if parts := taken(job):
        console.print(Text(" · ".join(parts)))
    if reason := job.get("pause_reason"):
        console.print(Text(reason["message"], style="yellow"))
    if job["error"]:
        print_error(console, job["error"])


def print_places(console: Console, named: Iterable[tuple[str, str]]) -> None:
    """Print where things are: name and URL."""
    for name, url in named:
        console.print(Text.assemble(f"{name:14}", (place(url), "cyan")), soft_wrap=True)


def shown_counts(job: Job) -> list[tuple[str, int]]:
    """Return the counts that say something: the total, and every state that occurs."""
    counts = job["counts"]
    named = [
        ("succeeded", counts["succeeded"]),
        ("reused", counts["reused"]),
        ("rejected", counts["rejected"]),
        ("failed", counts["failed"]),
        ("cancelled", counts["cancelled"]),
        ("pending", counts["pending"]),
        ("bad rows", counts["bad_rows"]),
        ("not pictures by name", counts["passed_over"]),
    ]
    total = "items" if job["planned"] else "items so far"
    return [(total, counts["total"]), *((name, count) for name, count in named if count)]


def places(job: Job) -> list[tuple[str, str]]:
    """Return where a job's results and files are, as far as they exist."""
    found = [("results", job["output_url"])]
    if files := job["files"]:
        found += [
            ("manifest", files["manifest"]),
            ("errors", files["errors"]),
            ("contact sheet", files["contact_sheet_html"]),
            ("", files["contact_sheet_png"]),
        ]
    return found


def print_error(console: Console, error: Mapping[str, Any]) -> None:
    """Print why a whole job failed, with the first bad rows of its manifest."""
    console.print(Text(f"{error.get('code')}: {error.get('message')}", style="red"))
    rows = error.get("rows") or []
    for row in rows[:SHOWN_ROWS]:
        console.print(Text(f"  line {row.get('row_no')}: {row.get('message')}"), soft_wrap=True)
    if len(rows) > SHOWN_ROWS:
        console.print(f"  and {len(rows) - SHOWN_ROWS} more")


def print_table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table to stdout; what comes from the service is text, never markup."""
    table = Table(*headings, box=None, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:  # a script's table is not cut to a width that nobody sees
        console = Console(width=10_000)
    console.print(table)


def one_line(job: Job) -> tuple[object, ...]:
    """Return a job as a row of a list: id, state, outcome, items done, failed, created."""
    counts = job["counts"]
    done = f"{settled(counts)}/{counts['total']}"
    return job["id"], job["state"], job["outcome"], done, counts["failed"], job["created_at"]
