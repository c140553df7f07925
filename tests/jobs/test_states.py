"""The states of a job: the table of moves, and the one statement that makes a move."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.database import Database
from jobs.moves import fail, move
from jobs.records import JobRecord
from jobs.states import JOB_MOVES, ItemState, JobOutcome, JobState, outcome_of
from tests.factories import make_job


def test_every_state_reaches_the_end_and_the_end_is_final() -> None:
    assert set(JOB_MOVES) == set(JobState)
    assert JOB_MOVES[JobState.ENDED] == frozenset()
    reaching = {JobState.ENDED}
    for _ in JobState:
        reaching |= {state for state, targets in JOB_MOVES.items() if targets & reaching}
    assert reaching == set(JobState)


def test_a_move_happens_exactly_where_the_table_allows_it(database: Database) -> None:
    for start, target in itertools.product(JobState, JobState):
        with database.transaction() as session:
            job_id = make_job(session, state=start).id
            ended = {"outcome": JobOutcome.FAILED} if target is JobState.ENDED else {}
            moved = move(session, job_id, target, **ended)
        with database.reading() as session:
            state = session.get_one(JobRecord, job_id).state
        assert moved == (target in JOB_MOVES[start]), (start, target)
        assert state is (target if moved else start)


def test_a_failed_job_keeps_its_reason_and_gets_cancelled(database: Database) -> None:
    with database.transaction() as session:
        job_id = make_job(session, state=JobState.RUNNING, items=1).id
        assert fail(session, job_id, code="style_unreadable", message="no")
    with database.reading() as session:
        job = session.get_one(JobRecord, job_id)
        assert job.state is JobState.CANCELLING
        assert job.error == {"code": "style_unreadable", "message": "no"}


COUNTS = st.dictionaries(
    st.sampled_from([state for state in ItemState if state is not ItemState.PENDING]), st.integers(0, 10**7)
)


@given(counts=COUNTS, bad_rows=st.integers(0, 3))
def test_an_outcome_never_calls_a_failure_a_success(counts: dict[ItemState, int], bad_rows: int) -> None:
    outcome = outcome_of(counts, bad_rows=bad_rows, cancelled=False, failed=False)
    good = counts.get(ItemState.SUCCEEDED, 0) + counts.get(ItemState.REUSED, 0)
    bad = sum(counts.values()) - good + bad_rows
    assert (outcome is JobOutcome.SUCCEEDED) == (bad == 0)
    assert (outcome is JobOutcome.PARTIAL) == (bad > 0 and good > 0)


@pytest.mark.parametrize("failed", [True, False])
def test_a_stopped_job_says_why(failed: bool) -> None:
    outcome = outcome_of({ItemState.SUCCEEDED: 3}, cancelled=True, failed=failed)
    assert outcome is (JobOutcome.FAILED if failed else JobOutcome.CANCELLED)
