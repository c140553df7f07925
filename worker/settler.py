"""Records what became of items, in bulk, about once a second; gives shards back when nothing more comes."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from jobs import failure_policy, leases
from jobs.database import Database
from jobs.errors import LeaseLost
from jobs.leases import Lease
from jobs.maintenance import start_finishing
from jobs.states import ItemState
from worker.held import HeldLease, HeldLeases
from worker.work import Work

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 1.0  # what a crash may cost: work of one second is done again


@dataclass(slots=True)
class _Account:
    """What is known of one lease's items."""

    held: HeldLease
    remaining: int  # items still on their way
    done: list[Work] = field(default_factory=list)  # to be recorded


class Settler(threading.Thread):
    """Takes works at the end of the stream. The only writer of results."""

    def __init__(self, database: Database, held: HeldLeases, *, on_job_complete: Callable[[uuid.UUID], None]) -> None:
        super().__init__(name="settle", daemon=True)
        self.inbox: queue.Queue[Work] = queue.Queue(maxsize=256)
        self._database = database
        self._held = held
        self._on_job_complete = on_job_complete
        self._accounts: dict[Lease, _Account] = {}
        self._changed = threading.Condition()

    def open(self, held: HeldLease, item_count: int) -> None:
        """Expect so many items of a lease."""
        with self._changed:
            self._accounts[held.lease] = _Account(held, item_count)

    def wait_until_idle(self, timeout_seconds: float | None = None) -> bool:
        """Wait until every opened lease is settled or given back. Return whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._accounts, timeout_seconds)

    def run(self) -> None:
        flush_at = time.monotonic() + SETTLE_SECONDS
        while True:
            complete = False
            try:
                complete = self._take(self.inbox.get(timeout=max(0.0, flush_at - time.monotonic())))
            except queue.Empty:
                pass
            due = time.monotonic() >= flush_at
            if due or complete:
                self._flush(everything=due)
            if due:
                flush_at = time.monotonic() + SETTLE_SECONDS

    def _take(self, work: Work) -> bool:
        """Note a work. Return whether it was the last of its lease."""
        account = self._accounts[work.held.lease]
        account.remaining -= 1
        work.free()
        if not work.dropped:
            account.done.append(work)
        return account.remaining == 0

    def _flush(self, *, everything: bool) -> None:
        """Settle the leases that are complete; all of them when it is time."""
        with self._changed:
            accounts = list(self._accounts.values())
        for account in accounts:
            if everything or account.remaining == 0:
                self._settle(account)

    def _settle(self, account: _Account) -> None:
        held, lease, complete = account.held, account.held.lease, account.remaining == 0
        if not (account.done or complete):
            return
        try:
            ended = held.alive and self._record(account)
            if complete and held.alive and not ended:
                with self._database.transaction() as session:
                    leases.release(session, lease)
        except LeaseLost:
            log.warning("results_refused", job_id=str(lease.job_id), shard_no=lease.shard_no)
            held.lose()
        except (OperationalError, InterfaceError, PoolTimeoutError) as error:
            # The database is away. The results stay here; the stream fills up and waits. They are recorded when it is
            # back, or refused when the lease has gone to another worker meanwhile.
            log.warning("settle_failed", job_id=str(lease.job_id), shard_no=lease.shard_no, error=str(error))
            return
        except Exception:
            # The database will never take these. The lease is left to expire, which counts as a death of its worker:
            # quarantine then finds the item that cannot be recorded, and everything beside it is.
            log.exception("results_unrecordable", job_id=str(lease.job_id), shard_no=lease.shard_no)
            held.lose()
            self._held.remove(held)
        account.done.clear()
        if complete:
            self._close(held)

    def _record(self, account: _Account) -> bool:
        """Write the results. Return whether the shard has ended."""
        lease = account.held.lease
        tries = [failed for work in account.done for failed in work.failed_tries]
        with self._database.transaction() as session:
            results = [work.result() for work in account.done]
            ended = leases.settle(session, lease, results, tries)
        if any(result.state is ItemState.FAILED for result in results):
            with self._database.transaction() as session:
                failure_policy.enforce(session, lease.job_id)
        if ended:
            with self._database.transaction() as session:
                finishing = start_finishing(session, lease.job_id)
            log.info("shard_ended", job_id=str(lease.job_id), shard_no=lease.shard_no, attempt=lease.attempt)
            if finishing:
                self._on_job_complete(lease.job_id)
        return ended

    def _close(self, held: HeldLease) -> None:
        self._held.remove(held)
        with self._changed:
            del self._accounts[held.lease]
            self._changed.notify_all()
