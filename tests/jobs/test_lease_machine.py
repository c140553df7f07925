"""Leases against a small model of them: any sequence of claims, deaths, settlements and controls keeps the promises.

The model says what must be so, not how it is chosen: which of several shards a claim takes is fairness' concern, and
tested elsewhere.
"""

from __future__ import annotations

import datetime
import os
import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, select, update

from jobs import claims, controls, leases, planning
from jobs.advance import advance
from jobs.cards import CardShelf
from jobs.checks import CheckedRequest, request_sha256
from jobs.claims import Claim
from jobs.database import Database, now
from jobs.enqueue import enqueue
from jobs.errors import Conflict, ErrorCode, LeaseLost
from jobs.job_leases import claim_job
from jobs.leases import ItemResult, Lease
from jobs.locations import Location
from jobs.maintenance import start_finishing
from jobs.quarantine import DEATHS
from jobs.queries import find_job
from jobs.records import ItemRecord, JobRecord, ResultRecord, ShardRecord
from jobs.requests import RetryRequest
from jobs.retrying import child_request, find_retried
from jobs.settings import Settings
from jobs.states import CLAIMABLE, JOB_MOVES, SETTLED, CancelMode, ItemState, JobOutcome, JobState
from jobs.storage import Storages
from jobs.sums import counts_of
from jobs.tenants import Tenant
from tests import factories
from tests.factories import make_job, make_results

WORKERS = [uuid.UUID(int=number) for number in range(1, 4)]
SHOP = "s3://shop/"
TENANT = Tenant(id="default", allowed_prefixes=(Location.parse(SHOP),))
SIZES = ((6, 4), (3, 3))  # of each job: items, and items of a shard
CHILD_SHARD = 2  # items of a shard of a job that tries another's items again
MOST_JOBS = 6
EXAMPLES, STEPS = (500, 60) if os.environ.get("CHAOS_DOSE") == "long" else (40, 40)
STOPPED = {JobState.CANCELLING, JobState.FINISHING, JobState.ENDED}
RECORDABLE = (ItemState.SUCCEEDED, ItemState.FAILED, ItemState.REJECTED)
REACHABLE: dict[JobState, set[JobState]] = {}
for _state in reversed(JobState):
    _found, _new = {_state}, {_state}
    while _new:
        _new = {target for state in _new for target in JOB_MOVES[state]} - _found
        _found |= _new
    REACHABLE[_state] = _found


@dataclass
class Shard:
    """What the model knows of a shard."""

    items: set[int]  # that it answers for, settled ones too
    token: int = 0
    attempt: int = 0
    lease: Lease | None = None
    expired: bool = False

    def take_back(self) -> None:
        self.lease, self.expired = None, False


@dataclass
class Job:
    """What the model knows of a job."""

    state: JobState
    shards: dict[int, Shard]
    results: dict[int, ItemState] = field(default_factory=dict)
    rescued: int = 0
    draining: bool = False
    resting: bool = False  # between two looks at what others hold of it
    planned: bool = True
    keys: list[str] = field(default_factory=list)  # where each item's picture must go

    @property
    def waits_for_step(self) -> bool:
        """Whether a worker alone must do something for it."""
        unplanned = not self.planned and self.state in CLAIMABLE | {JobState.PAUSED}
        return unplanned or self.state in {JobState.PLANNING, JobState.CANCELLING, JobState.FINISHING}

    def cancel_now(self) -> None:
        """From here on nothing is recorded but that."""
        self.state, self.draining = JobState.CANCELLING, False
        for shard in self.shards.values():
            shard.take_back()

    def plan(self) -> None:
        """Divide its items among shards; without any it has failed."""
        self.planned = True
        for number, start in enumerate(range(0, len(self.keys), CHILD_SHARD)):
            self.shards[number] = Shard(set(range(start, min(start + CHILD_SHARD, len(self.keys)))))
        if not self.keys:
            self.cancel_now()
        elif self.state is JobState.PLANNING:
            self.state = JobState.QUEUED

    def cancel_pending(self) -> None:
        """Cancel what nobody holds, and move on once nobody holds anything."""
        for shard in self.open():
            if shard.lease is None or shard.expired:
                self.results |= dict.fromkeys(self.pending(shard), ItemState.CANCELLED)
                shard.take_back()
        self.resting = bool(self.open())
        if not self.resting:
            self.state, self.draining = JobState.FINISHING, False

    def pending(self, shard: Shard) -> list[int]:
        return sorted(shard.items - self.results.keys())

    def open(self) -> list[Shard]:
        return [shard for shard in self.shards.values() if self.pending(shard)]


class Leases(RuleBasedStateMachine):
    """Every rule is one transaction of the product, or one turn of fate."""

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__()
        self.database = database
        self.folder = folder
        self.jobs: dict[uuid.UUID, Job] = {}
        self.issued: list[Claim] = []
        self.seen: dict[uuid.UUID, Counter[ItemState]] = {}
        self.states: dict[uuid.UUID, JobState] = {}

    @initialize(workers=st.lists(st.sampled_from(WORKERS), max_size=3), drains=st.booleans())
    def begin(self, workers: list[uuid.UUID], drains: bool) -> None:
        """Two jobs to run, and one that has ended. Some shards are out already, and the first job may be stopping."""
        with self.database.transaction() as session:
            session.execute(delete(ResultRecord))
            session.execute(delete(JobRecord))
        for items, size in SIZES:
            with self.database.transaction() as session:
                job = make_job(session, items=items, shard_size=size, output_url=f"file://{self.folder}/")
            starts = range(0, items, size)
            shards = {number: Shard(set(range(start, min(start + size, items)))) for number, start in enumerate(starts)}
            self.jobs[job.id] = Job(JobState.QUEUED, shards, keys=self.keys(job.id))
        first = min(self.jobs)
        self.jobs |= self.ended()
        for worker_id in workers:
            self.claim(worker_id)
        if drains:
            self.stop(first, CancelMode.DRAIN)

    def ended(self) -> dict[uuid.UUID, Job]:
        """Make a job that ended with results of every kind."""
        states = dict(enumerate(SETTLED))
        with self.database.transaction() as session:
            ended = {"state": JobState.ENDED, "outcome": JobOutcome.PARTIAL, "output_url": f"file://{self.folder}/"}
            job = make_job(session, items=len(states), **ended)
            for number, state in states.items():
                make_results(session, job, [number], state)
        return {job.id: Job(JobState.ENDED, {0: Shard(set(states))}, results=states, keys=self.keys(job.id))}

    def keys(self, job_id: uuid.UUID) -> list[str]:
        """Return where the pictures of a job go, in the order of its items."""
        with self.database.reading() as session:
            of_job = select(ItemRecord.output_key).where(ItemRecord.job_id == job_id)
            return list(session.scalars(of_job.order_by(ItemRecord.item_no)))

    @rule(worker_id=st.sampled_from(WORKERS))
    def claim(self, worker_id: uuid.UUID) -> None:
        before = self.eligible()
        with self.database.transaction() as session:
            claimed = claims.claim(session, worker_id=worker_id, queue="gpu", lease_seconds=600)
        buried = self.bury()
        if not claimed:
            assert buried or not before, f"nothing claimed of {before}"
            return
        [claim] = claimed
        lease = claim.lease
        job = self.jobs[lease.job_id]
        shard = job.shards[lease.shard_no]
        assert (lease.job_id, lease.shard_no) in before
        assert lease.token > shard.token
        pending = job.pending(shard)
        job.rescued += shard.expired
        if shard.expired and shard.attempt >= DEATHS:
            pending = self.halve(job, shard, pending)
        assert [item.item_no for item in claim.items] == pending
        shard.token, shard.attempt, shard.lease, shard.expired = lease.token, shard.attempt + 1, lease, False
        assert lease.attempt == shard.attempt
        assert claim.suspect == (shard.attempt > 1)
        job.state = JobState.RUNNING
        self.issued.append(claim)

    def eligible(self) -> set[tuple[uuid.UUID, int]]:
        """Return the shards that a claim may take."""
        return {
            (job_id, number)
            for job_id, job in self.jobs.items()
            if job.state in CLAIMABLE
            for number, shard in job.shards.items()
            if job.pending(shard) and (shard.lease is None or shard.expired)
        }

    def bury(self) -> int:
        """Note the items that a claim has found to kill every worker. Each must be the last of its shard."""
        buried = 0
        rows = self.rows()
        for job_id, job in self.jobs.items():
            for number, row in rows[job_id].items():
                if number in job.results:
                    continue
                [shard] = [shard for shard in job.shards.values() if number in shard.items]
                assert job.pending(shard) == [number]
                assert shard.expired
                assert shard.attempt >= DEATHS
                assert (row.state, row.error_code) == (ItemState.FAILED, ErrorCode.WORKER_CRASHED)
                job.results[number] = row.state
                job.rescued += 1
                shard.take_back()
                buried += 1
        return buried

    @staticmethod
    def halve(job: Job, shard: Shard, pending: list[int]) -> list[int]:
        middle = len(pending) // 2
        job.shards[len(job.shards)] = Shard(set(pending[middle:]), attempt=DEATHS - 1)
        shard.items -= set(pending[middle:])
        shard.attempt = DEATHS - 1
        return pending[:middle]

    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        """A worker has been silent for too long."""
        held = [claim for claim in self.issued if self.holds(claim.lease)]
        if not held:
            return
        lease = data.draw(st.sampled_from(held)).lease
        with self.database.transaction() as session:
            session.execute(
                update(ShardRecord)
                .where(ShardRecord.job_id == lease.job_id, ShardRecord.shard_no == lease.shard_no)
                .values(lease_expires_at=now(session) - datetime.timedelta(seconds=1))
            )
        self.jobs[lease.job_id].shards[lease.shard_no].expired = True

    def holds(self, lease: Lease) -> bool:
        """Whether a write under this lease must be taken. One that has expired is held until somebody else claims."""
        return self.jobs[lease.job_id].shards[lease.shard_no].lease == lease

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        if not self.issued:
            return
        some = data.draw(st.lists(st.sampled_from(self.issued), unique_by=id))
        with self.database.transaction() as session:
            answer = leases.renew(session, [claim.lease for claim in some], lease_seconds=600)
        held = [claim.lease for claim in some if self.holds(claim.lease)]
        assert answer == {lease: self.wanted(self.jobs[lease.job_id]) for lease in held}
        for lease in held:
            self.jobs[lease.job_id].shards[lease.shard_no].expired = False

    @staticmethod
    def wanted(job: Job) -> bool:
        """Whether more of a job that is held should begin. One that drains finishes what is held."""
        return job.state in CLAIMABLE or job.draining

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """A worker, living or undead, records some of what it was given and has not recorded."""
        if not self.issued:
            return
        claim = data.draw(st.sampled_from(self.issued))
        job = self.jobs[claim.lease.job_id]
        numbers = [item.item_no for item in claim.items]
        if self.holds(claim.lease):
            numbers = [number for number in numbers if number not in job.results]
        chosen = data.draw(st.lists(st.sampled_from(numbers), min_size=1, unique=True))
        states = {number: data.draw(st.sampled_from(RECORDABLE)) for number in chosen}
        results = [result(number, state) for number, state in states.items()]
        if not self.holds(claim.lease):
            with pytest.raises(LeaseLost), self.database.transaction() as session:
                factories.settle(session, claim.lease, results)
            return
        with self.database.transaction() as session:
            ended = factories.settle(session, claim.lease, results)
        job.results |= states
        shard = job.shards[claim.lease.shard_no]
        assert ended == (not job.pending(shard))
        if ended:
            shard.take_back()

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if not self.issued:
            return
        lease = data.draw(st.sampled_from(self.issued)).lease
        if not self.holds(lease):
            with pytest.raises(LeaseLost), self.database.transaction() as session:
                leases.release(session, lease)
            return
        with self.database.transaction() as session:
            leases.release(session, lease)
        shard = self.jobs[lease.job_id].shards[lease.shard_no]
        shard.attempt -= 1
        shard.take_back()

    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        job_id, job = data.draw(st.sampled_from(sorted(self.jobs.items(), key=itemgetter(0))))
        if job.state in STOPPED:
            with pytest.raises(Conflict), self.database.transaction() as session:
                controls.pause(session, TENANT, job_id)
            return
        with self.database.transaction() as session:
            controls.pause(session, TENANT, job_id)
        job.state = JobState.PAUSED

    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        job_id, job = data.draw(st.sampled_from(sorted(self.jobs.items(), key=itemgetter(0))))
        if job.state in STOPPED:
            with pytest.raises(Conflict), self.database.transaction() as session:
                controls.resume(session, TENANT, job_id)
            return
        with self.database.transaction() as session:
            controls.resume(session, TENANT, job_id)
        if job.state is JobState.PAUSED:
            job.state = JobState.QUEUED if job.planned else JobState.PLANNING

    @rule(data=st.data(), mode=st.sampled_from(CancelMode))
    def cancel(self, data: st.DataObject, mode: CancelMode) -> None:
        """A person cancels. Now: from the answer on, nothing is recorded but that. Drain: what is held may be."""
        self.stop(data.draw(st.sampled_from(sorted(self.jobs))), mode)

    def stop(self, job_id: uuid.UUID, mode: CancelMode) -> None:
        job = self.jobs[job_id]
        with self.database.transaction() as session:
            _status, cancelling = controls.cancel(session, TENANT, job_id, mode=mode)
        if job.state not in STOPPED and mode is CancelMode.DRAIN:
            job.state, job.draining = JobState.CANCELLING, True
        elif job.state not in STOPPED or (job.draining and mode is CancelMode.NOW):
            job.cancel_now()
        assert cancelling == (job.state is JobState.CANCELLING)

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """A person tries items of a job again, as a new job whose pictures go where those of the old one would."""
        job_id, job = data.draw(st.sampled_from(sorted(self.jobs.items(), key=itemgetter(0))))
        states = data.draw(st.lists(st.sampled_from(SETTLED), min_size=1, unique=True))
        with self.database.reading() as session:
            parent = find_job(session, TENANT, job_id)
            request = child_request(parent, RetryRequest(states=tuple(state.value for state in states)))
        if job.state is not JobState.ENDED:
            with pytest.raises(Conflict), self.database.reading() as session:
                find_retried(session, TENANT, request.source)
            return
        if len(self.jobs) == MOST_JOBS:
            return
        with self.database.transaction() as session:
            retried = find_retried(session, TENANT, request.source)
            assert retried is not None
            checked = CheckedRequest(
                request=request,
                sha256=request_sha256(request),
                recipe=request.recipe,
                fingerprint=parent.recipe_fingerprint,
                style_id=None,
                source=request.source,
                output=Location.parse(parent.output_url).as_prefix(),
                retried_count=retried.count,
            )
            child = enqueue(session, checked, TENANT, settings=Settings()).job
        chosen = [number for number, state in sorted(job.results.items()) if state in states]
        assert retried.count == len(chosen)
        keys = [job.keys[number] for number in chosen]
        self.jobs[child.id] = Job(JobState.PLANNING, {}, planned=False, keys=keys)

    @rule(later=st.booleans())
    def advance(self, later: bool) -> None:
        """What one worker does alone for a job: plan it, cancel what is pending, write the files, end it.

        `later`: after the pause between two looks at a job that drains.
        """
        with self.database.transaction() as session:
            start_finishing(session)
            if later:
                session.execute(update(JobRecord).values(lease_expires_at=None))
                for job in self.jobs.values():
                    job.resting = False
        for job in self.jobs.values():
            if job.state in CLAIMABLE | {JobState.PAUSED} and job.planned and not job.open():
                job.state = JobState.FINISHING
        with self.database.transaction() as session:
            lease = claim_job(session, worker_id=WORKERS[0], lease_seconds=600, stopping=threading.Event())
        if lease is None:
            assert not [job for job in self.jobs.values() if job.waits_for_step and not job.resting]
            return
        job = self.jobs[lease.job_id]
        assert job.waits_for_step
        assert job.state is lease.state
        advance(
            self.database,
            Storages(),
            lease,
            shelf=CardShelf(),
            allowed=(SHOP,),
            ring=lambda *_: None,
            draw_sheet=lambda *_: {},
        )
        if job.state is JobState.CANCELLING:
            job.cancel_pending()
        elif job.state is JobState.FINISHING:
            job.state = JobState.ENDED
        else:
            job.plan()
            assert self.keys(lease.job_id) == job.keys

    def rows(self) -> dict[uuid.UUID, dict[int, Any]]:
        """Return the results of each job, by item."""
        columns = (ResultRecord.job_id, ResultRecord.item_no, ResultRecord.state, ResultRecord.error_code)
        with self.database.reading() as session:
            found = session.execute(select(*columns)).all()
        rows: dict[uuid.UUID, dict[int, Any]] = {job_id: {} for job_id in self.jobs}
        for row in found:
            assert row.item_no not in rows[row.job_id]
            rows[row.job_id][row.item_no] = row
        return rows

    @invariant()
    def the_tables_agree_with_the_model(self) -> None:
        counted = [getattr(ShardRecord, f"{state}_count") for state in SETTLED]
        with self.database.reading() as session:
            jobs = session.execute(select(JobRecord.id, JobRecord.state, JobRecord.rescued_count)).all()
            shards = session.execute(
                select(ShardRecord.job_id, ShardRecord.shard_no, ShardRecord.lease_token, *counted)
            ).all()
            added = {job_id: counts_of(session, job_id) for job_id in self.jobs}
        rows = self.rows()
        states = {row.id: row.state for row in jobs}
        assert {row.id: row.rescued_count for row in jobs} == {job_id: job.rescued for job_id, job in self.jobs.items()}
        for job_id, job in self.jobs.items():
            assert {number: row.state for number, row in rows[job_id].items()} == job.results
            assert states[job_id] is job.state
            assert states[job_id] in REACHABLE[self.states.get(job_id, states[job_id])]
            own = {shard.shard_no: shard for shard in shards if shard.job_id == job_id}
            assert own.keys() == job.shards.keys()
            assert all(own[number].lease_token >= shard.token for number, shard in job.shards.items())
            counts = Counter(
                {state: sum(shard[3 + place] for shard in own.values()) for place, state in enumerate(SETTLED)}
            )
            assert +counts == Counter(job.results.values())
            assert +Counter(added[job_id]) == +counts
            before = self.seen.get(job_id, Counter())
            assert all(counts[state] >= before[state] for state in SETTLED), "a count has fallen"
            self.seen[job_id] = counts
        self.states = states


def result(number: int, state: ItemState) -> ItemResult:
    bad = state is not ItemState.SUCCEEDED
    return ItemResult(item_no=number, state=state, error_code="truncated" if bad else None)


def test_any_sequence_of_claims_deaths_and_controls_keeps_the_promises(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "SHARD_ITEMS", CHILD_SHARD)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Leases(database, tmp_path),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
