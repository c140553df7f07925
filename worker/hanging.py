"""What becomes of a call that hangs: its thread cannot be ended, so the process is, after it gave back what it had."""

from __future__ import annotations

import structlog

from jobs.errors import ErrorCode, JobsError, StorageError
from jobs.leases import ItemResult
from jobs.states import ItemState
from worker.runner import Runner
from worker.settler import Settler
from worker.vital import EXIT_HUNG, end_process
from worker.watch import Call

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 10.0  # for the database to take it; then the leases expire


class DeadlinePassed(JobsError):
    """It took longer than any picture may."""

    code = ErrorCode.DEADLINE


def end_hung(call: Call, runner: Runner, settler: Settler) -> None:
    """Say what hung, settle what can be settled, give back the rest without burning an attempt, and end the process.

    A picture that hangs alone fails. Of a batch that hangs nobody knows which picture it is: the attempt counts, and
    in the next one they go through the model one by one.
    """
    log.critical(
        "item_hung",
        stage=call.stage,
        job_id=str(call.held.lease.job_id),
        shard_no=call.held.lease.shard_no,
        items=[item_no for _, item_no in call.items],
        limit_seconds=call.limit_seconds,
    )
    took = f"{call.stage} took longer than {call.limit_seconds:g} s"
    if call.stage == "prepare":
        runner.postpone(call.held, DeadlinePassed(took))
    elif call.stage in ("read", "write"):
        for held, item_no in call.items:
            if not held.postpone():
                settler.fail(held, _failed(item_no, StorageError(took)))
    elif len(call.items) == 1:
        for held, item_no in call.items:
            settler.fail(held, _failed(item_no, DeadlinePassed(took)))
    else:
        for held, _ in call.items:
            held.suspect()
    runner.wind_down()
    settler.give_up()
    settler.wait_until_idle(SETTLE_SECONDS)
    end_process(EXIT_HUNG)


def _failed(item_no: int, error: JobsError) -> ItemResult:
    return ItemResult(item_no=item_no, state=ItemState.FAILED, error_code=str(error.code), error_message=str(error))
