"""Breakers: what stops a job that fails item after item, or that kills worker after worker.

Both look at counts since the job was last resumed: whoever resumes a job that a breaker paused gives it another
chance, and the breaker needs as much evidence again as the first time.
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from jobs.database import now
from jobs.moves import fail, move
from jobs.recipes import FailurePolicy
from jobs.records import JobRecord
from jobs.states import CLAIMABLE, JobState
from jobs.sums import counts_of

MIN_RESCUES = 20  # chosen: one poison item in a shard of 128 costs about 9, and must not stop what is beside it
ITEMS_PER_RESCUE = 20  # chosen: with fewer items done for each lost worker, the fleet restarts more than it works

SETTLED = ("succeeded", "reused", "rejected", "failed")  # what says something about the job


def enforce(session: Session, job_id: uuid.UUID) -> bool:
    """Stop a job of which too large a share has failed, as its policy says. Return whether it was stopped now.

    To be called after failures were settled, in a transaction of its own: a settling holds its shard, and whoever
    moves a job locks the job first.
    """
    job = session.execute(
        select(JobRecord.state, JobRecord.failure_policy, JobRecord.counts_at_resume).where(JobRecord.id == job_id)
    ).one_or_none()
    if job is None or job.state not in CLAIMABLE:
        return False
    policy = FailurePolicy.model_validate(job.failure_policy)
    if policy.action == "ignore":
        return False
    counts = _since(_counts(session, job_id), job.counts_at_resume)
    settled, failed = sum(counts[name] for name in SETTLED), counts["failed"]
    if settled < policy.min_items or failed <= policy.max_failed_share * settled:
        return False
    message = (
        f"{failed} of {settled} items failed, and the job accepts {policy.max_failed_share:.0%}: "
        "see the error codes of its items"
    )
    if policy.action == "cancel":
        return fail(session, job_id, code="too_many_failures", message=message)
    return _pause(session, job_id, "too_many_failures", message)


def pause_if_workers_crash(session: Session, job_id: uuid.UUID) -> bool:
    """Pause a job that costs a worker for every few items. Return whether it was paused now.

    To be called after a rescue was counted, with the job's row locked.
    """
    job = session.execute(
        select(JobRecord.rescued_count, JobRecord.counts_at_resume).where(JobRecord.id == job_id)
    ).one()
    rescued = job.rescued_count - (job.counts_at_resume or {}).get("rescued", 0)
    if rescued < MIN_RESCUES:
        return False
    succeeded = _since(_counts(session, job_id), job.counts_at_resume)["succeeded"]
    if rescued * ITEMS_PER_RESCUE <= succeeded:
        return False
    message = (
        f"{rescued} workers did not come back from its shards while {succeeded} items succeeded: "
        "see the log of a worker that ran it"
    )
    return _pause(session, job_id, "workers_crash", message)


def start_afresh(session: Session, job_id: uuid.UUID) -> None:
    """Let the breakers forget what has happened so far. To be called when a person resumes a job."""
    rescued = session.scalar(select(JobRecord.rescued_count).where(JobRecord.id == job_id))
    counts = _counts(session, job_id) | {"rescued": rescued or 0}
    session.execute(update(JobRecord).where(JobRecord.id == job_id).values(counts_at_resume=counts))


def _counts(session: Session, job_id: uuid.UUID) -> dict[str, int]:
    return {state.value: count for state, count in counts_of(session, job_id).items()}


def _since(counts: dict[str, int], before: dict[str, Any] | None) -> dict[str, int]:
    return {name: count - (before or {}).get(name, 0) for name, count in counts.items()}


def _pause(session: Session, job_id: uuid.UUID, code: str, message: str) -> bool:
    return move(
        session,
        job_id,
        JobState.PAUSED,
        only_from=CLAIMABLE,
        paused_at=now(session),
        pause_reason={"code": code, "message": message},
    )
