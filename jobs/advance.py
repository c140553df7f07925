"""The steps of a job that one worker does alone: planning, cancelling, finishing, dropping."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from jobs.cancelling import cancel_pending
from jobs.cards import CardShelf
from jobs.database import Database
from jobs.errors import AccessDenied, InvalidRequest, JobsError, LeaseLost, ObjectMissing, SourceRefused
from jobs.finishing import Sheet, finish
from jobs.job_leases import LEASE_ATTEMPTS, JobLease, StepStopped, kept, let_go
from jobs.moves import fail
from jobs.planning import Ring, plan
from jobs.retention import drop
from jobs.states import JobState
from jobs.storage import Storages

log = structlog.get_logger(__name__)

DRAIN_POLL_SECONDS = 1.0  # between two looks at shards that may end
PERMANENT = (SourceRefused, ObjectMissing, AccessDenied, InvalidRequest)  # of a source; trying again cannot help


def advance(
    database: Database,
    storages: Storages,
    lease: JobLease,
    *,
    shelf: CardShelf,
    allowed: Iterable[str],
    ring: Ring,
    draw_sheet: Sheet,
) -> None:
    """Do the step that a leased job is waiting for.

    A step that fails for a while keeps its lease, and is tried again when that has expired. One that must wait for
    the shards of other workers gives it back and comes again after a moment, in which other jobs have their turn.
    """
    pause_seconds = 0.0
    try:
        if lease.state is JobState.CANCELLING:
            pause_seconds = 0.0 if cancel_pending(database, lease) else DRAIN_POLL_SECONDS
        elif lease.state is JobState.FINISHING:
            finish(database, storages, lease, draw_sheet=draw_sheet)
        elif lease.state is JobState.ENDED:
            drop(database, storages, lease)
        else:
            _plan(database, storages, lease, shelf, allowed, ring)
    except LeaseLost:
        log.warning("job_lease_lost", job_id=str(lease.job_id), state=lease.state)
        return
    except StepStopped:
        log.info("step_stopped", job_id=str(lease.job_id), state=lease.state)
    with database.transaction() as session:
        let_go(session, lease, pause_seconds=pause_seconds)


def _plan(
    database: Database, storages: Storages, lease: JobLease, shelf: CardShelf, allowed: Iterable[str], ring: Ring
) -> None:
    try:
        with kept(database, lease):
            plan(database, storages, lease, shelf=shelf, allowed=allowed, ring=ring)
    except (LeaseLost, StepStopped):
        raise
    except Exception as error:
        if not isinstance(error, PERMANENT) and lease.attempt < LEASE_ATTEMPTS:
            raise
        log.warning("planning_failed", job_id=str(lease.job_id), error=repr(error))
        code = str(error.code) if isinstance(error, JobsError) else "internal_error"
        with database.transaction() as session:
            fail(session, lease.job_id, code=code, message=f"the source cannot be planned: {error}")
