"""Records what became of items, in bulk, about once a second; gives shards back when nothing more comes."""

from __future__ import annotations

import copy
import queue
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import structlog

from jobs import failure_policy, leases
from jobs.database import AWAY, Database
from jobs.engines import Facts, record_engines
from jobs.leases import FailedTry, ItemResult, Lease, Settlement
from jobs.maintenance import start_finishing
from jobs.measures import Measures
from jobs.states import ItemState
from jobs.tallies import Tally, count_in
from worker.held import HeldLease, HeldLeases
from worker.vital import Vital
from worker.work import Work

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 1.0  # what a crash may cost: work of one second is done again
TICK_SECONDS = 0.2  # until it is noticed that a lease is not wanted any more
LEASES_AT_ONCE = 16  # in one transaction: its commit costs as much as the records of several
WORKS_AT_ONCE = 4096  # noted before leases are looked at
AWAY_SECONDS = 5.0  # longest pause while the database is away


@dataclass(slots=True)
class _Account:
    """What is known of one lease's items. Only the settler's thread touches it once it is opened."""

    held: HeldLease
    open: set[int]  # items still on their way
    results: list[ItemResult] = field(default_factory=list)  # to be recorded
    tries: list[FailedTry] = field(default_factory=list)
    in_doubt: bool = False  # the last transaction failed, perhaps after its commit
    tally: Tally = field(default_factory=dict)  # of the measures of all that has settled of the shard, now and before
    uncounted: list[Measures] = field(default_factory=list)  # those that are not in the tally yet

    @property
    def told(self) -> bool:
        """Whether there is something to record."""
        return bool(self.results or self.tries)

    @property
    def failed(self) -> bool:
        """Whether an item has failed for good."""
        return any(result.state is ItemState.FAILED for result in self.results)

    def settlement(self) -> Settlement:
        """Return what is to be recorded, all of it counted."""
        count_in(self.tally, self.uncounted)
        self.uncounted.clear()
        return Settlement(
            lease=self.held.lease, results=self.results, failed_tries=self.tries, tally=self.tally or None
        )

    def add(self, result: ItemResult) -> None:
        """Note a result that is to be recorded."""
        self.results.append(result)
        if result.measures is not None:
            self.uncounted.append(result.measures)

    def clear(self) -> None:
        """Forget what has been recorded, or never will be."""
        self.results.clear()
        self.tries.clear()


class Settler(Vital):
    """Takes works at the end of the stream. The only writer of results."""

    def __init__(
        self,
        database: Database,
        held: HeldLeases,
        *,
        on_job_complete: Callable[[uuid.UUID], None],
        device_hour_cost: float = 0.0,  # 0: unknown
    ) -> None:
        super().__init__("settle", self._run)
        self.inbox: queue.Queue[Work] = queue.Queue(maxsize=256)
        self._database = database
        self._held = held
        self._on_job_complete = on_job_complete
        self._device_hour_cost = device_hour_cost
        self._engines: dict[str, Facts] = {}  # by digest: those of results that were not recorded yet
        self._recorded_engines: set[str] = set()
        self._accounts: dict[Lease, _Account] = {}
        self._changed = threading.Condition()
        self._apart: queue.SimpleQueue[tuple[Lease, int, ItemResult | None]] = queue.SimpleQueue()
        self._giving_up = threading.Event()
        self._failures = 0
        self._away_until = 0.0

    def open(self, held: HeldLease) -> None:
        """Expect the items of a lease, from its claim on: who gives it back, and when, is decided here."""
        self._held.add(held)
        with self._changed:
            items = {item.item_no for item in held.claim.items}
            self._accounts[held.lease] = _Account(held, items, tally=copy.deepcopy(held.claim.tally or {}))

    def forget(self, held: HeldLease) -> None:
        """Expect no more of a lease that was given back elsewhere."""
        self._held.remove(held)
        with self._changed:
            self._accounts.pop(held.lease, None)
            self._changed.notify_all()

    def fail(self, held: HeldLease, result: ItemResult) -> None:
        """Settle an item that will never come."""
        self.settle(held, result.item_no, result)

    def settle(self, held: HeldLease, item_no: int, result: ItemResult | None) -> None:
        """Settle an item that did not go through the stream; without a result, leave it to another attempt."""
        self._apart.put((held.lease, item_no, result))

    def give_up(self) -> None:
        """Wait for no item any more: record what is done, and give every lease back."""
        self._giving_up.set()

    def wait_until_idle(self, timeout_seconds: float | None = None, *, besides: HeldLease | None = None) -> bool:
        """Wait until every lease is settled or given back, but for one. Return whether that came in time."""
        spared = set() if besides is None else {besides.lease}
        with self._changed:
            return self._changed.wait_for(lambda: self._accounts.keys() <= spared, timeout_seconds)

    def _run(self) -> None:
        flush_at = time.monotonic() + SETTLE_SECONDS
        while True:
            self._take_all(max(0.0, min(flush_at - time.monotonic(), TICK_SECONDS)))
            complete = self._sweep()
            due = time.monotonic() >= flush_at
            if (due or complete) and time.monotonic() >= self._away_until:
                self._flush(everything=due)
            if due:
                flush_at = time.monotonic() + SETTLE_SECONDS

    def _take_all(self, seconds: float) -> None:
        """Note the works that wait, or the first that comes within some seconds."""
        try:
            self._take(self.inbox.get(timeout=seconds))
            for _ in range(WORKS_AT_ONCE):
                self._take(self.inbox.get_nowait())
        except queue.Empty:
            pass

    def _take(self, work: Work) -> None:
        """Note a work, unless it was given back without waiting for it."""
        account = self._accounts.get(work.held.lease)
        if account is not None and work.item.item_no in account.open:
            account.open.remove(work.item.item_no)
            account.tries += work.failed_tries
            if not work.dropped:
                result = work.result(self._device_hour_cost)
                account.add(result)
                if result.engine is not None and result.engine not in self._recorded_engines:
                    self._engines[result.engine] = work.prepared.engine.facts
        work.free()

    def _sweep(self) -> bool:
        """Wait no longer for what is not wanted and not begun. Return whether nothing more comes for some lease."""
        while not self._apart.empty():
            lease, item_no, result = self._apart.get()
            account = self._accounts.get(lease)
            if account is not None and item_no in account.open:
                account.open.remove(item_no)
                if result is not None:
                    account.add(result)
        complete = False
        for account in self._all():
            if not account.held.alive or (self._giving_up.is_set() and self.inbox.empty()):
                account.open.clear()
            elif not account.held.wanted:
                account.open &= account.held.begun()
            complete = complete or not account.open
        return complete

    def _all(self) -> list[_Account]:
        with self._changed:
            return list(self._accounts.values())

    def _flush(self, *, everything: bool) -> None:
        """Settle the leases for which nothing more comes; all of them when it is time."""
        due = [account for account in self._all() if not account.open or (everything and account.told)]
        try:
            while due:
                self._settle(due[:LEASES_AT_ONCE])
                del due[:LEASES_AT_ONCE]
        except AWAY as error:
            # The results stay here; the stream fills up and waits. They are recorded when the database is back, or
            # refused when the lease has gone to another worker meanwhile.
            self._failures += 1
            longest = min(AWAY_SECONDS, SETTLE_SECONDS * 2 ** min(self._failures, 8))
            self._away_until = time.monotonic() + longest * random.uniform(0.5, 1)
            log.warning("settle_failed", error=str(error), failures=self._failures)
        else:
            self._failures = 0

    def _settle(self, accounts: Sequence[_Account]) -> None:
        """Record what has come of some leases, and close those of which nothing more comes."""
        try:
            self._record(accounts)
        except AWAY:
            raise
        except Exception:
            if len(accounts) > 1:  # the others are not to suffer for it
                for account in accounts:
                    self._settle([account])
                return
            # The database will never take these. The lease is left to expire, which counts as a death of its worker:
            # quarantine then finds the item that cannot be recorded, and everything beside it is.
            [account] = accounts
            lease = account.held.lease
            log.exception("results_unrecordable", job_id=str(lease.job_id), shard_no=lease.shard_no)
            account.held.lose()
            self._held.remove(account.held)
        self._enforce({account.held.lease.job_id for account in accounts if account.failed})
        closed = [account.held for account in accounts if not account.open]
        for account in accounts:
            account.clear()
        for held in closed:
            self._held.remove(held)  # first of all: nobody should ask after it any more
        self._end_jobs({held.lease for held in closed})
        for held in closed:
            self.forget(held)

    def _record(self, accounts: Sequence[_Account]) -> None:
        """Write results in one transaction; give back each lease of which nothing more comes, unless it has ended."""
        alive = [account for account in accounts if account.held.alive]
        engines = dict(self._engines)
        with self._database.transaction() as session:
            record_engines(session, engines)  # with the first results that name them, so that none is without its facts
            for account in alive:
                if account.in_doubt:
                    account.results = leases.unrecorded(session, account.held.lease, account.results)
                account.in_doubt = True
            ended = leases.settle(session, [account.settlement() for account in alive])
            for account in alive:
                if not (account.open or ended.get(account.held.lease, True)):
                    account.held.give_back(session, account.held.lease)
        self._recorded_engines |= engines.keys()
        self._engines.clear()
        for account in alive:
            account.in_doubt = False
            lease = account.held.lease
            facts = {"job_id": str(lease.job_id), "shard_no": lease.shard_no}
            if lease not in ended:
                log.warning("results_refused", **facts)
                account.held.lose()
            elif ended[lease]:
                log.info("shard_ended", **facts, attempt=lease.attempt)

    def _enforce(self, job_ids: Collection[uuid.UUID]) -> None:
        """Stop jobs of which too much has failed. Where the database does not answer, the next failure asks again."""
        for job_id in job_ids:
            try:
                with self._database.transaction() as session:
                    failure_policy.enforce(session, job_id)
            except AWAY as error:
                log.warning("policy_unasked", job_id=str(job_id), error=str(error))

    def _end_jobs(self, closed: Collection[Lease]) -> None:
        """Let the jobs of these leases finish if they have no open shard left.

        While this worker has another lease of a job, that one's end is soon enough to ask. Where the database does
        not answer, maintenance asks later.
        """
        with self._changed:
            busy = {lease.job_id for lease in self._accounts if lease not in closed}
        for job_id in {lease.job_id for lease in closed} - busy:
            try:
                with self._database.transaction() as session:
                    finishing = start_finishing(session, job_id)
            except AWAY as error:
                log.warning("finish_unasked", job_id=str(job_id), error=str(error))
                continue
            if finishing:
                self._on_job_complete(job_id)
