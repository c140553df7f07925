"""A job's progress on a terminal, as a bar; elsewhere, as a line every few seconds. Always on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from restyle.shapes import Counts, Job

LINE_SECONDS = 5.0  # between two lines where there is no terminal
WORDS = {
    "planning": "planning: reading the source",
    "queued": "queued: waiting for a worker",
    "running": "running",
    "paused": "paused",
    "cancelling": "cancelling",
    "finishing": "finishing: writing the manifest",
}


class JobProgress:
    """Shows one job. Pass `show` to `Client.wait`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said_at = 0.0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task("asking", total=None, note="")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def show(self, job: Job) -> None:
        """Show the job as it is now."""
        words = WORDS.get(job["state"], job["state"])
        if reason := job.get("pause_reason"):
            words = f"paused: {reason['message']}"
        done, total = settled(job["counts"]), job["counts"]["total"]
        if not job["planned"] and total:
            words += f", {total} found"
        if self._console.is_terminal:
            known = total if job["planned"] and total else None
            self._bar.update(self._task, description=words, completed=done, total=known, note=note_of(job))
        elif time.monotonic() - self._said_at >= LINE_SECONDS:
            self._said_at = time.monotonic()
            parts = (words, f"{done} of {total}" if job["planned"] else "", note_of(job))
            self._console.print(" · ".join(part for part in parts if part), highlight=False, soft_wrap=True)


def settled(counts: Counts) -> int:
    """Return how many items have a final state."""
    return counts["total"] - counts["pending"]


def note_of(job: Job) -> str:
    """Return rate, time left, and what did not succeed, as far as they are known."""
    rate, left = job["progress"]["items_per_second"], job["progress"]["seconds_left"]
    lost = job["counts"]["failed"] + job["counts"]["rejected"]
    parts = [
        f"{rate:.3g} pictures/s" if rate else "",
        f"{duration(left)} left" if left is not None else "",
        f"{lost} failed" if lost else "",
        *taken(job)[-1:],  # the cost, or where nobody knows it the device time: both are more than a line holds
    ]
    return " · ".join(part for part in parts if part)


def taken(job: Job) -> list[str]:
    """Return what the job has taken so far, and will in all, of devices and of money, as far as it is known."""
    parts = []
    if job["device_seconds"]:
        parts.append("device time " + _of_all(job["device_seconds"], job["device_seconds_estimate"], duration))
    if job["cost"] is not None:
        parts.append("cost " + _of_all(job["cost"], job["cost_estimate"], "{:.3g}".format))
    return parts


def _of_all(so_far: float, in_all: float | None, say: Callable[[float], str]) -> str:
    said, whole = say(so_far), None if in_all is None else say(in_all)
    return said if whole in (None, said) else f"{said} of about {whole}"


def duration(seconds: float) -> str:
    """Return a duration as people say it: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
