"""How far a job is, what it has taken and what it will, worked out from its counts. No statements."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from jobs.records import JobRecord
from jobs.states import JobState

MOVING = frozenset({JobState.RUNNING, JobState.FINISHING})  # states in which a rate says something about the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Items of a job by state. `total` is the sum of the others but the last two, which became no items."""

    total: int  # grows until the job is planned
    pending: int
    succeeded: int
    reused: int
    rejected: int
    failed: int
    cancelled: int
    bad_rows: int
    passed_over: int

    @property
    def settled(self) -> int:
        return self.total - self.pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is and when it may end. Null is what cannot be known yet."""

    fraction: float | None  # of the items, settled; null until the total is known
    items_per_second: float | None  # settled items ÷ seconds since the first claim
    seconds_left: float | None
    eta_at: datetime.datetime | None


def progress_of(job: JobRecord, counts: Counts, moment: datetime.datetime) -> Progress:
    """Work out a job's progress at a moment of the database's clock."""
    rate = None
    if job.started_at is not None and counts.settled:
        seconds = ((job.ended_at or moment) - job.started_at).total_seconds()
        rate = counts.settled / seconds if seconds > 0 else None
    left = counts.pending / rate if rate and job.planned_at and job.state in MOVING else None
    return Progress(
        fraction=None if job.planned_at is None else counts.settled / counts.total if counts.total else 1.0,
        items_per_second=rate,
        seconds_left=left,
        eta_at=None if left is None else moment + datetime.timedelta(seconds=left),
    )


def estimate_of(job: JobRecord, counts: Counts, so_far: float, device_items: int) -> float | None:
    """Say what all of a job will have taken, in the unit of `so_far`: that, and the mean for each pending item.

    `device_items`: settled items that a device had, of which the mean is taken. None until there is one, and until
    the total is known.
    """
    if not device_items or job.planned_at is None:
        return None
    left = 0 if job.state is JobState.CANCELLING else counts.pending
    return shortened(so_far + left * so_far / device_items)


def shortened(amount: float) -> float:
    """Return an amount without the digits that only adding up gave it."""
    return float(f"{amount:.9g}")
