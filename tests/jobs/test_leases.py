"""Leases on shards: one conformance suite for both databases."""

from __future__ import annotations

import datetime
import threading
import uuid
from collections.abc import Sequence

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from jobs import claims, leases
from jobs.claims import Claim
from jobs.database import Database, now
from jobs.errors import LeaseLost
from jobs.leases import FailedTry, ItemResult, Settlement
from jobs.records import ItemErrorRecord, JobRecord, ResultRecord, ShardRecord, SumRecord
from jobs.retries import Backoff
from jobs.states import CancelMode, ItemState, JobState, ShardState
from tests import factories
from tests.factories import make_job

WORKER = uuid.UUID(int=1)
OTHER = uuid.UUID(int=2)


def add_job(database: Database, **columns: object) -> uuid.UUID:
    with database.transaction() as session:
        return make_job(session, **columns).id  # type: ignore[arg-type]


def claim(database: Database, worker_id: uuid.UUID = WORKER, *, queue: str = "gpu") -> Claim | None:
    with database.transaction() as session:
        return next(iter(claims.claim(session, worker_id=worker_id, queue=queue, lease_seconds=30)), None)


def must_claim(database: Database, worker_id: uuid.UUID = WORKER) -> Claim:
    claimed = claim(database, worker_id)
    assert claimed is not None
    return claimed


def succeed(numbers: Sequence[int]) -> list[ItemResult]:
    return [ItemResult(item_no=number, state=ItemState.SUCCEEDED, sha256="00", bytes=1) for number in numbers]


def settle(database: Database, claimed: Claim, results: Sequence[ItemResult]) -> bool:
    with database.transaction() as session:
        return factories.settle(session, claimed.lease, results)


def expire(database: Database, claimed: Claim) -> None:
    """Make a lease's time run out, as if its worker had been silent."""
    with database.transaction() as session:
        session.execute(
            update(ShardRecord)
            .where(ShardRecord.job_id == claimed.lease.job_id, ShardRecord.shard_no == claimed.lease.shard_no)
            .values(lease_expires_at=now(session) - datetime.timedelta(seconds=1))
        )


def shard_of(session: Session, claimed: Claim) -> ShardRecord:
    return session.get_one(ShardRecord, (claimed.lease.job_id, claimed.lease.shard_no))


def result_count(database: Database, job_id: uuid.UUID) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).where(ResultRecord.job_id == job_id)) or 0


def test_a_claim_gives_every_item_of_one_shard_in_order(database: Database) -> None:
    job_id = add_job(database, items=5, shard_size=3)
    first, second = must_claim(database), must_claim(database)
    assert [item.item_no for item in first.items] == [0, 1, 2]
    assert [item.item_no for item in second.items] == [3, 4]
    assert first.lease.job_id == second.lease.job_id == job_id
    assert claim(database) is None


def test_the_first_claim_makes_a_queued_job_running(database: Database) -> None:
    job_id = add_job(database, items=2, shard_size=1)
    must_claim(database)
    with database.reading() as session:
        job = session.get_one(JobRecord, job_id)
        assert job.state is JobState.RUNNING
        started_at = job.started_at
    must_claim(database)
    with database.reading() as session:
        assert session.get_one(JobRecord, job_id).started_at == started_at


def test_higher_priority_runs_first_and_then_the_older_job(database: Database) -> None:
    old, young, urgent = (add_job(database, items=1, priority=priority) for priority in (0, 0, 5))
    assert [must_claim(database).lease.job_id for _ in range(3)] == [urgent, old, young]


@pytest.mark.parametrize("state", [JobState.PLANNING, JobState.PAUSED, JobState.CANCELLING, JobState.FINISHING])
def test_only_queued_and_running_jobs_are_claimed(database: Database, state: JobState) -> None:
    add_job(database, items=1, state=state)
    assert claim(database) is None


def test_a_worker_claims_from_its_own_queue_only(database: Database) -> None:
    add_job(database, items=1, queue="cpu")
    assert claim(database, queue="gpu") is None
    assert claim(database, queue="cpu") is not None


def test_a_lease_that_has_not_expired_is_nobody_elses(database: Database) -> None:
    add_job(database, items=1)
    must_claim(database)
    assert claim(database, OTHER) is None


def test_an_expired_shard_is_claimed_before_all_others_with_what_is_left_of_it(database: Database) -> None:
    add_job(database, items=6, shard_size=3)
    dead = must_claim(database)
    settle(database, dead, succeed([0, 2]))
    expire(database, dead)
    rescued = must_claim(database, OTHER)
    assert rescued.lease.shard_no == dead.lease.shard_no
    assert [item.item_no for item in rescued.items] == [1]
    assert rescued.lease.token > dead.lease.token
    assert rescued.suspect


def test_a_zombie_is_refused_at_every_write(database: Database) -> None:
    job_id = add_job(database, items=2)
    zombie = must_claim(database)
    expire(database, zombie)
    rescued = must_claim(database, OTHER)
    with pytest.raises(LeaseLost):
        settle(database, zombie, succeed([0]))
    with pytest.raises(LeaseLost), database.transaction() as session:
        leases.release(session, zombie.lease)
    with database.transaction() as session:
        assert leases.renew(session, [zombie.lease], lease_seconds=30) == {}
    assert result_count(database, job_id) == 0
    assert settle(database, rescued, succeed([0, 1]))


def test_renewing_keeps_a_lease_alive_and_says_what_is_still_wanted(database: Database) -> None:
    kept = add_job(database, items=1, priority=1)
    stopped = add_job(database, items=1)
    first, second = must_claim(database), must_claim(database)
    with database.transaction() as session:
        session.execute(update(JobRecord).where(JobRecord.id == stopped).values(state=JobState.PAUSED))
        before = shard_of(session, first).lease_expires_at
        renewed = leases.renew(session, [first.lease, second.lease], lease_seconds=300)
        session.expire_all()
        after = shard_of(session, first).lease_expires_at
    assert before is not None
    assert after is not None
    assert after - before > datetime.timedelta(seconds=200)
    assert renewed == {first.lease: True, second.lease: False}
    assert (first.lease.job_id, second.lease.job_id) == (kept, stopped)


def test_settling_the_last_item_ends_the_shard(database: Database) -> None:
    add_job(database, items=3)
    claimed = must_claim(database)
    assert not settle(database, claimed, succeed([0, 1]))
    assert settle(
        database, claimed, [ItemResult(item_no=2, state=ItemState.FAILED, error_code="truncated", error_message="x")]
    )
    with database.reading() as session:
        shard = shard_of(session, claimed)
        assert (shard.state, shard.worker_id) == (ShardState.ENDED, None)
        assert (shard.succeeded_count, shard.failed_count) == (2, 1)


def test_an_item_cannot_settle_twice(database: Database) -> None:
    job_id = add_job(database, items=3)
    claimed = must_claim(database)
    settle(database, claimed, succeed([0]))
    with pytest.raises(Exception, match=r"(?i)unique"):
        settle(database, claimed, succeed([0]))
    assert result_count(database, job_id) == 1
    with database.reading() as session:
        assert shard_of(session, claimed).succeeded_count == 1


def test_a_released_shard_is_claimed_again_without_a_burnt_attempt(database: Database) -> None:
    add_job(database, items=3)
    claimed = must_claim(database)
    settle(database, claimed, succeed([1]))
    with database.transaction() as session:
        leases.release(session, claimed.lease)
    again = must_claim(database, OTHER)
    assert again.lease.attempt == 1
    assert not again.suspect
    assert [item.item_no for item in again.items] == [0, 2]


def test_a_lease_that_is_lost_spoils_no_settling_of_others(database: Database) -> None:
    job_id = add_job(database, items=6, shard_size=2)
    lost, ended, open_ = (must_claim(database) for _ in range(3))
    expire(database, lost)
    assert must_claim(database, OTHER).lease.shard_no == lost.lease.shard_no
    settlements = [
        Settlement(lease=lost.lease, results=succeed([0, 1])),
        Settlement(lease=ended.lease, results=succeed([2, 3])),
        Settlement(lease=open_.lease, results=succeed([5])),
    ]
    with database.transaction() as session:
        assert leases.settle(session, settlements) == {ended.lease: True, open_.lease: False}
    with database.reading() as session:
        recorded = session.scalars(select(ResultRecord.item_no).where(ResultRecord.job_id == job_id))
        assert sorted(recorded) == [2, 3, 5]


def test_failed_tries_are_kept_beside_the_result(database: Database) -> None:
    job_id = add_job(database, items=1)
    claimed = must_claim(database)
    tries = [FailedTry(item_no=0, code="storage_unavailable", message="503")] * 2
    with database.transaction() as session:
        factories.settle(session, claimed.lease, succeed([0]), tries)
    with database.reading() as session:
        rows = session.scalars(select(ItemErrorRecord).where(ItemErrorRecord.job_id == job_id)).all()
        assert [(row.code, row.attempt) for row in rows] == [("storage_unavailable", 1)] * 2


def on_device(number: int, seconds: float, cost: float | None) -> ItemResult:
    return ItemResult(item_no=number, state=ItemState.SUCCEEDED, device_seconds=seconds, cost=cost, engine="e1")


def test_a_job_adds_up_what_its_items_took_and_one_of_unknown_price_makes_its_cost_unknown(
    database: Database,
) -> None:
    add_job(database, items=5)
    claimed = must_claim(database)

    def settled(*results: ItemResult) -> tuple[int, float, float | None]:
        settle(database, claimed, results)
        with database.reading() as session:
            [part] = session.scalars(select(SumRecord))
        return part.device_item_count, part.device_seconds, part.cost

    failed = ItemResult(item_no=0, state=ItemState.FAILED, error_code="truncated")
    assert settled(failed) == (0, 0.0, 0.0)
    assert settled(on_device(1, 0.5, 2.0), on_device(2, 0.25, 1.0)) == (2, 0.75, 3.0)
    assert settled(on_device(3, 0.25, None)) == (3, 1.0, None)
    assert settled(on_device(4, 1.0, 4.0)) == (4, 2.0, None), "what is unknown stays so"


def test_a_reason_may_say_anything(database: Database) -> None:
    add_job(database, items=1)
    claimed = must_claim(database)
    odd = "a \0 b \udcff c"
    result = ItemResult(item_no=0, state=ItemState.FAILED, error_code="corrupt_image", error_message=odd)
    with database.transaction() as session:
        assert factories.settle(session, claimed.lease, [result], [FailedTry(item_no=0, code="x", message=odd)])
    with database.reading() as session:
        (message,) = session.scalars(select(ResultRecord.error_message))
    assert message is not None
    assert message.startswith("a ")
    assert message.endswith(" c")


def test_only_the_leases_that_are_asked_for_are_renewed(database: Database) -> None:
    add_job(database, items=2, shard_size=1)
    kept, dropped = must_claim(database), must_claim(database)
    with database.transaction() as session:
        before = shard_of(session, dropped).lease_expires_at
        leases.renew(session, [kept.lease], lease_seconds=300)
        assert leases.renew(session, [], lease_seconds=300) == {}
        session.expire_all()
        assert shard_of(session, dropped).lease_expires_at == before
        assert shard_of(session, kept).lease_expires_at != before


def test_an_item_that_kills_its_workers_is_isolated_and_fails_alone(database: Database) -> None:
    poison, items = 21, 32
    job_id = add_job(database, items=items, shard_size=16)
    deaths = 0
    while (claimed := claim(database, uuid.uuid4())) is not None:
        numbers = [item.item_no for item in claimed.items]
        if poison in numbers:
            expire(database, claimed)
            deaths += 1
            assert deaths < 20
        else:
            settle(database, claimed, succeed(numbers))
    # The claim that finds the last item dead settles it and returns nothing.
    with database.reading() as session:
        results = session.scalars(select(ResultRecord).where(ResultRecord.job_id == job_id)).all()
        open_shards = session.scalar(
            select(func.count()).where(ShardRecord.job_id == job_id, ShardRecord.state != ShardState.ENDED)
        )
    failed = {row.item_no: row.error_code for row in results if row.state is ItemState.FAILED}
    assert failed == {poison: "worker_crashed"}
    assert len(results) == items
    assert open_shards == 0
    assert deaths <= 4 + 2


def test_many_workers_at_once_claim_each_shard_once(database: Database) -> None:
    job_id = add_job(database, items=40, shard_size=2)
    claims: list[Claim] = []

    def work() -> None:
        worker_id = uuid.uuid4()
        while (claimed := claim(database, worker_id)) is not None:
            claims.append(claimed)
            settle(database, claimed, succeed([item.item_no for item in claimed.items]))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed.lease.shard_no for claimed in claims) == list(range(20))
    assert result_count(database, job_id) == 40


def test_standing_tells_who_goes_on_who_winds_down_and_who_stops_at_once(database: Database) -> None:
    states = {
        "runs": {"state": JobState.RUNNING},
        "paused": {"state": JobState.PAUSED},
        "drains": {"state": JobState.CANCELLING, "cancel_mode": CancelMode.DRAIN},
        "cancelled": {"state": JobState.CANCELLING, "cancel_mode": CancelMode.NOW},
        "failed": {"state": JobState.CANCELLING},
    }
    claims = {}
    for name, columns in states.items():
        job_id = add_job(database, items=1)
        claims[name] = must_claim(database)
        assert claims[name].lease.job_id == job_id
        with database.transaction() as session:
            session.execute(update(JobRecord).where(JobRecord.id == job_id).values(columns))
    lease_of = {name: claim.lease for name, claim in claims.items()}
    expected = {lease_of["runs"]: True, lease_of["paused"]: False, lease_of["drains"]: True}
    with database.reading() as session:
        assert leases.standing(session, list(lease_of.values())) == expected
        assert leases.standing(session, []) == {}
    with database.transaction() as session:
        assert leases.renew(session, list(lease_of.values()), lease_seconds=30) == expected


def test_an_old_lease_does_not_stand_beside_a_new_one_of_the_same_worker(database: Database) -> None:
    add_job(database, items=1)
    old = must_claim(database)
    expire(database, old)
    new = must_claim(database)
    with database.reading() as session:
        assert leases.standing(session, [old.lease, new.lease]) == {new.lease: True}


def test_a_postponed_shard_waits_longer_each_time_and_burns_no_attempt(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.leases.POSTPONING", Backoff(attempts=9, base_seconds=100, cap_seconds=1000))
    add_job(database, items=1)
    for count, longest in enumerate((100, 200, 400), start=1):
        claimed = must_claim(database)
        assert (claimed.lease.attempt, claimed.postponed_count) == (1, count - 1)
        with database.transaction() as session:
            leases.postpone(session, claimed.lease)
            shard, moment = shard_of(session, claimed), now(session)
            assert (shard.state, shard.attempt, shard.postponed_count) == (ShardState.READY, 0, count)
            assert shard.available_at is not None
            assert longest / 2 - 10 < (shard.available_at - moment).total_seconds() <= longest
        assert claim(database) is None
        with database.transaction() as session:
            session.execute(update(ShardRecord).values(available_at=now(session)))
    with pytest.raises(LeaseLost), database.transaction() as session:
        leases.postpone(session, claimed.lease)


def test_a_postponed_shard_does_not_keep_its_neighbours_waiting(database: Database) -> None:
    add_job(database, items=2, shard_size=1)
    first = must_claim(database)
    with database.transaction() as session:
        leases.postpone(session, first.lease)
    assert must_claim(database).lease.shard_no == 1


def test_a_job_that_was_resumed_runs_again_from_a_rescue_on(database: Database) -> None:
    job_id = add_job(database, items=4)
    expire(database, must_claim(database))
    with database.transaction() as session:
        session.execute(update(JobRecord).where(JobRecord.id == job_id).values(state=JobState.QUEUED))
    must_claim(database, OTHER)
    with database.reading() as session:
        assert session.get_one(JobRecord, job_id).state is JobState.RUNNING


def test_a_lease_that_its_holder_ends_is_rescued_at_once_and_counts_as_a_death(database: Database) -> None:
    add_job(database, items=1)
    hung = must_claim(database)
    with database.transaction() as session:
        leases.expire(session, hung.lease)
    rescued = must_claim(database, OTHER)
    assert rescued.suspect
    assert rescued.lease.attempt == 2
    with pytest.raises(LeaseLost), database.transaction() as session:
        leases.expire(session, hung.lease)


def test_results_whose_commit_got_no_answer_can_be_told_from_new_ones(database: Database) -> None:
    add_job(database, items=3)
    claimed = must_claim(database)
    settle(database, claimed, succeed([0, 1]))
    with database.reading() as session:
        assert leases.unrecorded(session, claimed.lease, succeed([1, 2])) == succeed([2])
