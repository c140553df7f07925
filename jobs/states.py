"""The states of jobs, shards and items, and every allowed move of a job, as data. Pure: no I/O."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is. Each line says who moves it on."""

    PLANNING = "planning"  # its source is being read; nothing may run yet. The planner moves it on
    QUEUED = "queued"  # shards wait; the first claim makes it running
    RUNNING = "running"  # at least one shard was claimed; the settling of the last item ends that
    PAUSED = "paused"  # nobody claims; a person resumes it
    CANCELLING = "cancelling"  # nobody claims; maintenance cancels what is pending
    FINISHING = "finishing"  # every item is settled; the output manifest is being written
    ENDED = "ended"  # nothing changes any more; see the outcome


class JobOutcome(StrEnum):
    """How a job ended. Null until its state is `ended`."""

    SUCCEEDED = "succeeded"  # every item succeeded or was reused
    PARTIAL = "partial"  # some items did; some did not, or rows of the manifest became no items
    FAILED = "failed"  # no item did, or the job could not be planned
    CANCELLED = "cancelled"  # a person stopped it
    EXPIRED = "expired"  # its deadline stopped it


class ItemState(StrEnum):
    """What became of an item. `pending` means that it has no result row yet; all others are final."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    REUSED = "reused"  # an equal result existed already
    REJECTED = "rejected"  # it ran, and a quality gate refused the result
    FAILED = "failed"
    CANCELLED = "cancelled"


class ShardState(StrEnum):
    """Where a shard is."""

    READY = "ready"  # to be claimed
    LEASED = "leased"  # one worker has it until `lease_expires_at`; then any claim may take it
    ENDED = "ended"  # each of its items is settled


class CancelMode(StrEnum):
    """How running work of a cancelled job ends."""

    NOW = "now"  # nothing that runs is recorded any more
    DRAIN = "drain"  # what workers hold is finished and recorded; what waits is cancelled


class DeliveryState(StrEnum):
    """Where a webhook's message is."""

    PENDING = "pending"
    DELIVERED = "delivered"  # the receiver answered 2xx
    FAILED = "failed"  # every attempt was made, or the webhook was disabled


SETTLED = tuple(state for state in ItemState if state is not ItemState.PENDING)
CLAIMABLE = frozenset({JobState.QUEUED, JobState.RUNNING})

JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.PLANNING: frozenset({JobState.QUEUED, JobState.PAUSED, JobState.CANCELLING, JobState.FINISHING}),
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.CANCELLING, JobState.FINISHING}),
    JobState.RUNNING: frozenset({JobState.PAUSED, JobState.CANCELLING, JobState.FINISHING}),
    JobState.PAUSED: frozenset({JobState.PLANNING, JobState.QUEUED, JobState.CANCELLING, JobState.FINISHING}),
    JobState.CANCELLING: frozenset({JobState.FINISHING}),
    JobState.FINISHING: frozenset({JobState.ENDED}),
    JobState.ENDED: frozenset(),
}


def sources(target: JobState) -> frozenset[JobState]:
    """Return the states from which a job may move to `target`."""
    return frozenset(state for state, targets in JOB_MOVES.items() if target in targets)


def outcome_of(
    counts: dict[ItemState, int], *, bad_rows: int = 0, cancelled: bool, failed: bool, expired: bool = False
) -> JobOutcome:
    """Say how a job ended, from the counts of its settled items.

    `bad_rows`: rows of its manifest that became no items; `cancelled`: a person stopped it; `failed`: an error stopped
    the whole job; `expired`: its deadline stopped it.
    """
    if failed:
        return JobOutcome.FAILED
    if expired:
        return JobOutcome.EXPIRED
    if cancelled:
        return JobOutcome.CANCELLED
    good = counts.get(ItemState.SUCCEEDED, 0) + counts.get(ItemState.REUSED, 0)
    total = sum(counts.values())
    if good == total and not bad_rows:  # whoever asked for a picture of each row has not got them all
        return JobOutcome.SUCCEEDED
    return JobOutcome.PARTIAL if good else JobOutcome.FAILED
