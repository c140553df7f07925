"""Leases on whole jobs, for the steps that one worker does alone: planning, cancelling, finishing, dropping.

A step that fails keeps its lease until it expires, which paces the next try. One that dies over and over without
progress ends its job: see `LEASE_ATTEMPTS`.
"""

from __future__ import annotations

import datetime
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from jobs.database import Database, now
from jobs.errors import LeaseLost
from jobs.records import JobRecord, UtcDateTime
from jobs.states import JobState

log = structlog.get_logger(__name__)

LEASE_ATTEMPTS = 10  # claims of one step without progress; with a lease of 15 s that is about 150 s of failing
BEATS_PER_LEASE = 3  # two may fail before the lease is in danger
KEPT_SECONDS = 3600.0  # longest time in which one upload of a job's files may be under way


class StepStopped(Exception):
    """The process is about to end: the step goes on elsewhere, from where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLease:
    """The right of one worker to one job's current step."""

    job_id: uuid.UUID
    token: int
    attempt: int  # 1 when the step made progress since the last claim, or is new
    seconds: float
    state: JobState  # at the claim
    stopping: threading.Event  # set when the process wants to end
    presence_key: Callable[[], int | None]  # of the lock that lives as long as the worker's connection, as it is now


def claim_job(
    session: Session,
    *,
    worker_id: uuid.UUID,
    lease_seconds: float,
    stopping: threading.Event,
    presence_key: Callable[[], int | None] = lambda: None,
) -> JobLease | None:
    """Lease a job that must be planned, cancelled or finished, else an expired one; None when there is none."""
    moment = now(session)
    # Two questions: each has a partial index, and what is open goes first.
    job_id = session.scalar(_OPEN, {"moment": moment}) or session.scalar(_EXPIRED, {"moment": moment})
    if job_id is None:
        return None
    job = session.execute(
        update(JobRecord)
        .where(JobRecord.id == job_id)
        .values(
            lease_token=JobRecord.lease_token + 1,
            lease_attempt=JobRecord.lease_attempt + 1,
            lease_expires_at=moment + datetime.timedelta(seconds=lease_seconds),
            worker_id=worker_id,
            presence_key=presence_key(),
        )
        .returning(JobRecord.lease_token, JobRecord.lease_attempt, JobRecord.state)
    ).one()
    return JobLease(
        job_id=job_id,
        token=job.lease_token,
        attempt=job.lease_attempt,
        seconds=lease_seconds,
        state=job.state,
        stopping=stopping,
        presence_key=presence_key,
    )


_MOMENT = bindparam("moment", type_=UtcDateTime())


def _free() -> ColumnElement[bool]:
    return or_(JobRecord.lease_expires_at.is_(None), JobRecord.lease_expires_at < _MOMENT)


def _open() -> Select[uuid.UUID]:
    wanting = JobRecord.state.in_((JobState.PLANNING, JobState.CANCELLING, JobState.FINISHING))
    unplanned = and_(
        JobRecord.planned_at.is_(None),
        JobRecord.state.in_((JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)),
    )
    return (
        select(JobRecord.id)
        .where(or_(wanting, unplanned), _free())
        .order_by(JobRecord.priority.desc(), JobRecord.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _expired() -> Select[uuid.UUID]:
    """Select a job past its retention, unless one is being planned from its items."""
    child = aliased(JobRecord)
    needed = exists().where(
        child.parent_job_id == JobRecord.id, child.planned_at.is_(None), child.state != JobState.ENDED
    )
    return (
        select(JobRecord.id)
        .where(JobRecord.expires_at <= _MOMENT, JobRecord.state == JobState.ENDED, _free(), ~needed)
        .order_by(JobRecord.expires_at)
        .limit(1)
        .with_for_update(skip_locked=True, of=JobRecord)
    )


# Built once: every worker asks them at every poll.
_OPEN = _open()
_EXPIRED = _expired()


def hold(session: Session, lease: JobLease, *, progress: bool = False) -> JobRecord:
    """Extend a lease and return its job's row, locked until the transaction ends.

    Every step calls this between any two of its transactions, so it is also where a step is stopped.

    Raises:
        LeaseLost: the lease is another's now.
        StepStopped: the process is about to end.
    """
    if lease.stopping.is_set():
        raise StepStopped
    job = session.scalar(
        select(JobRecord)
        .where(JobRecord.id == lease.job_id, JobRecord.lease_token == lease.token)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if job is None:
        raise LeaseLost
    job.lease_expires_at = now(session) + datetime.timedelta(seconds=lease.seconds)
    job.presence_key = lease.presence_key()
    if progress:
        job.lease_attempt = 0
    return job


@contextmanager
def kept(database: Database, lease: JobLease) -> Iterator[None]:
    """Renew a lease while the block runs, for what takes longer than a lease between two calls of `hold`.

    Without it, two workers would take a long upload from each other for ever. Ends after `KEPT_SECONDS`, so that a
    step that hangs is another worker's at last.
    """
    done = threading.Event()

    def renew() -> None:
        for _ in range(int(KEPT_SECONDS / lease.seconds * BEATS_PER_LEASE)):
            if done.wait(lease.seconds / BEATS_PER_LEASE):
                return
            try:
                with database.transaction() as session:
                    until = now(session) + datetime.timedelta(seconds=lease.seconds)
                    held = and_(JobRecord.id == lease.job_id, JobRecord.lease_token == lease.token)
                    key = lease.presence_key()
                    session.execute(update(JobRecord).where(held).values(lease_expires_at=until, presence_key=key))
            except SQLAlchemyError as error:
                log.warning("job_lease_not_renewed", job_id=str(lease.job_id), error=str(error))

    thread = threading.Thread(target=renew, name="job-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def let_go(session: Session, lease: JobLease, *, pause_seconds: float = 0) -> None:
    """Give a lease back, so that the job's next step can start: at once, or after a pause. Safe when it is lost."""
    again_at = now(session) + datetime.timedelta(seconds=pause_seconds) if pause_seconds else None
    session.execute(
        update(JobRecord)
        .where(JobRecord.id == lease.job_id, JobRecord.lease_token == lease.token)
        .values(lease_expires_at=again_at, worker_id=None, presence_key=None, lease_attempt=0)
    )
