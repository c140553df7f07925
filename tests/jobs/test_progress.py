"""How far a job is, and what it has taken and will take."""

from __future__ import annotations

import datetime

import pytest

from jobs.progress import Counts, estimate_of, progress_of
from jobs.records import JobRecord
from jobs.states import JobState

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def counts(total: int, settled: int) -> Counts:
    return Counts(
        total=total,
        pending=total - settled,
        succeeded=settled,
        reused=0,
        rejected=0,
        failed=0,
        cancelled=0,
        bad_rows=0,
        passed_over=0,
    )


def job_at(state: JobState, *, ended_after: int | None = None, planned: bool = True) -> JobRecord:
    return JobRecord(
        state=state,
        planned_at=NOON if planned else None,
        started_at=NOON,
        ended_at=None if ended_after is None else NOON + datetime.timedelta(seconds=ended_after),
    )


def test_the_rate_is_what_was_settled_since_the_start() -> None:
    progress = progress_of(job_at(JobState.RUNNING), counts(100, 20), NOON + datetime.timedelta(seconds=10))
    assert (progress.fraction, progress.items_per_second, progress.seconds_left) == (0.2, 2.0, 40.0)
    assert progress.eta_at == NOON + datetime.timedelta(seconds=50)


def test_the_rate_of_an_ended_job_stays() -> None:
    later = NOON + datetime.timedelta(days=1)
    progress = progress_of(job_at(JobState.ENDED, ended_after=10), counts(100, 100), later)
    assert (progress.fraction, progress.items_per_second, progress.eta_at) == (1.0, 10.0, None)


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.CANCELLING, JobState.QUEUED])
def test_a_job_that_nobody_works_on_has_no_end_in_sight(state: JobState) -> None:
    progress = progress_of(job_at(state), counts(100, 20), NOON + datetime.timedelta(seconds=10))
    assert (progress.seconds_left, progress.eta_at) == (None, None)


def test_nothing_is_foretold_before_the_total_is_known() -> None:
    job = job_at(JobState.RUNNING, planned=False)
    progress = progress_of(job, counts(100, 20), NOON + datetime.timedelta(seconds=10))
    assert (progress.fraction, progress.seconds_left) == (None, None)
    assert progress.items_per_second == 2.0


def test_a_job_without_items_is_whole() -> None:
    progress = progress_of(job_at(JobState.ENDED, ended_after=0), counts(0, 0), NOON)
    assert (progress.fraction, progress.items_per_second) == (1.0, None)


def test_what_is_pending_will_take_what_a_device_took_on_average_so_far() -> None:
    job = job_at(JobState.RUNNING)
    assert estimate_of(job, counts(100, 20), so_far=30.0, device_items=15) == 30 + 80 * 2
    assert estimate_of(job, counts(100, 100), so_far=30.0, device_items=15) == 30, "what has ended is no estimate"
    assert estimate_of(job_at(JobState.CANCELLING), counts(100, 20), so_far=30.0, device_items=15) == 30


def test_nothing_is_estimated_before_a_device_had_an_item_or_the_total_is_known() -> None:
    assert estimate_of(job_at(JobState.RUNNING), counts(100, 20), so_far=0.0, device_items=0) is None
    planning = job_at(JobState.RUNNING, planned=False)
    assert estimate_of(planning, counts(100, 20), so_far=30.0, device_items=15) is None
