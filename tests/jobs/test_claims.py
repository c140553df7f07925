"""What a claim chooses: one conformance suite for both databases."""

from __future__ import annotations

import datetime
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select, text, update

from jobs import claims, leases
from jobs.claims import Claim
from jobs.database import Database, append, now
from jobs.records import EventRecord, JobRecord, ShardRecord, TenantRecord
from jobs.states import JobState, ShardState
from tests.factories import lease, make_job, make_shard, make_tenant
from tests.jobs.test_leases import OTHER, WORKER, add_job, claim, expire, must_claim, settle, succeed
from tests.jobs.test_queries import recorded

HOUR = datetime.timedelta(hours=1)
THIRD = uuid.UUID(int=3)


def clock(database: Database) -> datetime.datetime:
    with database.transaction() as session:
        return now(session)


def add_tenant(database: Database, name: str, **columns: Any) -> None:
    with database.transaction() as session:
        make_tenant(session, name, **columns)


def tenant_of(database: Database, name: str) -> TenantRecord:
    with database.reading() as session:
        return session.get_one(TenantRecord, name)


def change_job(database: Database, job_id: uuid.UUID, **columns: Any) -> None:
    with database.transaction() as session:
        session.execute(update(JobRecord).where(JobRecord.id == job_id).values(**columns))


def change_shards(database: Database, job_id: uuid.UUID, *shard_nos: int, **columns: Any) -> None:
    with database.transaction() as session:
        session.execute(
            update(ShardRecord)
            .where(ShardRecord.job_id == job_id, ShardRecord.shard_no.in_(shard_nos))
            .values(**columns)
        )


def change_tenant(database: Database, name: str, **columns: Any) -> None:
    with database.transaction() as session:
        session.execute(update(TenantRecord).where(TenantRecord.id == name).values(**columns))


def job_of(database: Database, job_id: uuid.UUID) -> JobRecord:
    with database.reading() as session:
        return session.get_one(JobRecord, job_id)


def done(database: Database, claimed: Claim) -> None:
    settle(database, claimed, succeed([item.item_no for item in claimed.items]))


def tenants_claimed(database: Database, count: int) -> list[str]:
    """Claim and finish so many shards; return whose they were."""
    served = []
    for _ in range(count):
        claimed = must_claim(database)
        served.append(job_of(database, claimed.lease.job_id).tenant_id)
        done(database, claimed)
    return served


def test_a_job_is_not_claimed_before_its_time(database: Database) -> None:
    job_id = add_job(database, items=1, not_before_at=clock(database) + HOUR)
    assert claim(database) is None
    change_job(database, job_id, not_before_at=clock(database))
    assert claim(database) is not None


def test_a_job_is_not_claimed_from_its_deadline_on(database: Database) -> None:
    job_id = add_job(database, items=1, deadline_at=clock(database))
    assert claim(database) is None
    change_job(database, job_id, deadline_at=clock(database) + HOUR)
    assert claim(database) is not None


def test_an_expired_lease_of_a_job_that_must_not_run_is_left_alone(database: Database) -> None:
    job_id = add_job(database, items=1)
    expire(database, must_claim(database))
    for stopped in (
        {"state": JobState.PAUSED},
        {"deadline_at": clock(database)},
        {"not_before_at": clock(database) + HOUR},
    ):
        before = {name: getattr(job_of(database, job_id), name) for name in stopped}
        change_job(database, job_id, **stopped)
        assert claim(database, OTHER) is None, stopped
        change_job(database, job_id, **before)
    assert claim(database, OTHER) is not None


def test_a_postponed_shard_waits_for_its_time_and_then_behind_those_that_never_did(database: Database) -> None:
    job_id = add_job(database, items=4, shard_size=1)
    moment = clock(database)
    change_shards(database, job_id, 0, available_at=moment - datetime.timedelta(seconds=1))
    change_shards(database, job_id, 1, available_at=moment - datetime.timedelta(seconds=2))
    change_shards(database, job_id, 2, available_at=moment + HOUR)
    assert [must_claim(database).lease.shard_no for _ in range(3)] == [3, 1, 0]
    assert claim(database) is None
    with database.reading() as session:
        assert session.get_one(ShardRecord, (job_id, 0)).available_at is None


def test_jobs_that_cannot_run_hide_no_work_behind_them(database: Database) -> None:
    moment = clock(database)
    for _ in range(20):
        add_job(database, items=1, priority=9, state=JobState.PAUSED)
        add_job(database, items=1, priority=9, not_before_at=moment + HOUR)
        postponed = add_job(database, items=1, priority=9)
        change_shards(database, postponed, 0, available_at=moment + HOUR)
        limited = add_job(database, items=2, shard_size=1, priority=9, max_workers=1)
        with database.transaction() as session:
            lease(session, session.get_one(ShardRecord, (limited, 0)))
    wanted = add_job(database, items=1)
    assert must_claim(database).lease.job_id == wanted


def test_a_job_has_no_more_workers_than_it_may(database: Database) -> None:
    job_id = add_job(database, items=4, shard_size=1, max_workers=2)
    first = must_claim(database, WORKER)
    must_claim(database, OTHER)
    assert claim(database, THIRD) is None
    assert must_claim(database, OTHER).lease.job_id == job_id, "who is there already is no further worker"
    done(database, first)
    assert claim(database, THIRD) is not None


def test_a_dead_worker_takes_no_place(database: Database) -> None:
    add_job(database, items=2, shard_size=1, max_workers=1)
    dead = must_claim(database, WORKER)
    expire(database, dead)
    assert must_claim(database, OTHER).lease.shard_no == dead.lease.shard_no
    assert claim(database, THIRD) is None


@pytest.mark.parametrize("limits", [{"max_workers": 1}, {"tenant_id": "acme"}])
def test_a_rescue_respects_the_limits_too(database: Database, limits: dict[str, Any]) -> None:
    add_tenant(database, "acme", max_workers=1)
    job_id = add_job(database, items=2, shard_size=1, **limits)
    with database.transaction() as session:
        dead, alive = (session.get_one(ShardRecord, (job_id, number)) for number in range(2))
        lease(session, dead, seconds=-1)
        lease(session, alive, seconds=60)
    assert claim(database) is None
    with database.transaction() as session:
        lease(session, session.get_one(ShardRecord, (job_id, 1)), seconds=-1)
    assert must_claim(database).lease.shard_no == 0


@pytest.mark.parametrize("limited", ["job", "tenant"])
def test_workers_that_claim_at_the_same_time_stay_within_the_limit(database: Database, limited: str) -> None:
    add_tenant(database, "acme", max_workers=2 if limited == "tenant" else None)
    add_job(database, tenant_id="acme", items=40, shard_size=1, max_workers=2 if limited == "job" else None)
    together = threading.Barrier(6)
    claimed: list[Claim] = []

    def work(worker_id: uuid.UUID) -> None:
        together.wait()
        for _ in range(3):
            found = claim(database, worker_id)
            if found is not None:
                claimed.append(found)

    threads = [threading.Thread(target=work, args=(uuid.uuid4(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({found.lease.worker_id for found in claimed}) == 2
    assert len(claimed) == 6


def test_a_tenant_has_no_more_workers_than_it_may_all_jobs_together(database: Database) -> None:
    add_tenant(database, "acme", max_workers=1)
    add_job(database, tenant_id="acme", items=1)
    add_job(database, tenant_id="acme", items=1)
    others = add_job(database, tenant_id="other", items=1, priority=-1)
    must_claim(database, WORKER)
    assert must_claim(database, OTHER).lease.job_id == others, "a tenant at its limit hides no one"
    assert claim(database, OTHER) is None
    assert claim(database, WORKER) is not None


def test_a_tenant_starts_a_minutes_worth_at_once_and_then_no_more_than_its_rate(database: Database) -> None:
    add_tenant(database, "acme", max_items_per_minute=30)
    add_job(database, tenant_id="acme", items=120, shard_size=20)
    must_claim(database)
    must_claim(database)
    assert claim(database) is None, "40 of 30 items are out"
    at = tenant_of(database, "acme").served_at
    assert at is not None
    change_tenant(database, "acme", served_at=at - datetime.timedelta(seconds=15))
    assert claim(database) is None, "15 s give 7.5 items, and 10 are owed"
    change_tenant(database, "acme", served_at=at - datetime.timedelta(seconds=30))
    assert claim(database) is not None
    change_tenant(database, "acme", served_at=at - 24 * HOUR)
    assert claim(database) is not None
    assert tenant_of(database, "acme").rate_balance == pytest.approx(30 - 20), "a day saves up no more than a minute"


def test_a_rescued_shard_is_not_charged_again(database: Database) -> None:
    add_tenant(database, "acme", max_items_per_minute=1)
    add_job(database, tenant_id="acme", items=10)
    expire(database, must_claim(database))
    before = tenant_of(database, "acme").rate_balance
    assert claim(database, OTHER) is not None
    assert tenant_of(database, "acme").rate_balance == before


def test_tenants_share_as_their_weights_say(database: Database) -> None:
    add_tenant(database, "large", weight=3)
    add_tenant(database, "small", weight=1)
    for name in ("large", "small"):
        add_job(database, tenant_id=name, items=40, shard_size=1)
    assert Counter(tenants_claimed(database, 40)) == {"large": 30, "small": 10}


def test_a_small_job_beside_a_large_one_ends_within_twice_its_time_alone(database: Database) -> None:
    add_job(database, tenant_id="first", items=200, shard_size=2)
    tenants_claimed(database, 20)
    add_job(database, tenant_id="second", items=20, shard_size=2)
    served = tenants_claimed(database, 2 * 10)
    assert served.count("second") == 10


def test_priority_goes_before_fairness(database: Database) -> None:
    add_job(database, tenant_id="first", items=6, shard_size=1, priority=1)
    add_job(database, tenant_id="second", items=6, shard_size=1)
    assert tenants_claimed(database, 12) == ["first"] * 6 + ["second"] * 6


def test_time_alone_is_charged_to_nobody(database: Database) -> None:
    add_tenant(database, "acme")
    add_job(database, tenant_id="acme", items=50, shard_size=1)
    tenants_claimed(database, 50)
    assert tenant_of(database, "acme").virtual_time == 0


def test_a_rescue_is_counted_and_told(database: Database) -> None:
    job_id = add_job(database, items=2)
    expire(database, must_claim(database))
    must_claim(database, OTHER)
    assert job_of(database, job_id).rescued_count == 1
    with database.reading() as session:
        event = session.scalars(select(EventRecord).where(EventRecord.kind == "shard.rescued")).one()
    assert event.data == {"shard_no": 0, "attempt": 1}


def test_a_job_keeps_the_moment_of_its_first_claim(database: Database) -> None:
    job_id = add_job(database, items=2, shard_size=1)
    must_claim(database)
    started_at = job_of(database, job_id).started_at
    change_job(database, job_id, state=JobState.QUEUED)  # paused and resumed
    must_claim(database)
    assert job_of(database, job_id).state is JobState.RUNNING
    assert job_of(database, job_id).started_at == started_at


def test_a_claim_names_the_connection_that_its_worker_lives_by(database: Database) -> None:
    job_id = add_job(database, items=1)
    with database.transaction() as session:
        claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=30, presence_key=77)
    with database.reading() as session:
        assert session.get_one(ShardRecord, (job_id, 0)).presence_key == 77


def test_renewing_says_that_a_job_past_its_deadline_is_no_longer_wanted(database: Database) -> None:
    job_id = add_job(database, items=1)
    held = must_claim(database).lease
    change_job(database, job_id, deadline_at=clock(database))
    with database.transaction() as session:
        assert leases.renew(session, [held], lease_seconds=30) == {held: False}


def test_a_claim_of_a_running_job_without_limits_is_a_handful_of_statements(database: Database) -> None:
    add_job(database, items=2, shard_size=1, state=JobState.RUNNING)
    with recorded(database) as statements, database.transaction() as session:
        claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=30)
    wanted = [statement for statement, _ in statements if not statement.startswith("BEGIN")]
    assert len(wanted) == 5, wanted  # the clock, expired leases, the first jobs, the lease, the items


SHARDS = 100_000


@pytest.fixture
def crowded(database: Database) -> uuid.UUID:
    """A job of 100,000 shards, most of them ended, of a tenant with limits, beside jobs that cannot run."""
    with database.transaction() as session:
        make_tenant(session, "acme", max_workers=50, max_items_per_minute=10**9)
        job = make_job(session, state=JobState.RUNNING, tenant_id="acme", max_workers=50)
        for number in range(100):
            make_shard(session, make_job(session, priority=9, max_workers=1), 0, 0, 1, available_at=now(session) + HOUR)
            if number < 50:
                make_job(session, state=JobState.PAUSED, priority=9, tenant_id="acme", items=1)
        rows = [
            {
                "job_id": job.id,
                "shard_no": number,
                "first_item_no": number,
                "end_item_no": number + 1,
                "item_count": 1,
                "state": ShardState.ENDED if number < SHARDS * 9 // 10 else ShardState.READY,
                "attempt": 0,
                "lease_token": 0,
                "postponed_count": 0,
                "succeeded_count": 0,
                "reused_count": 0,
                "rejected_count": 0,
                "failed_count": 0,
                "cancelled_count": 0,
                "measures": None,
            }
            for number in range(SHARDS)
        ]
        append(session, ShardRecord, rows)
        session.execute(text("ANALYZE"))
    return job.id


def rows_read(database: Database, statements: list[tuple[str, Any]]) -> int:
    """Return the rows that Postgres looked at in tables and indexes for some statements."""

    def walk(node: dict[str, Any]) -> int:
        removed = sum(int(node.get(name, 0)) for name in ("Rows Removed by Filter", "Rows Removed by Index Recheck"))
        own = int(node["Actual Rows"] + removed) * int(node["Actual Loops"]) if "Scan" in node["Node Type"] else 0
        return own + sum(walk(part) for part in node.get("Plans", ()))

    total = 0
    with database.engine.connect() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
            total += walk(plan[0]["Plan"])
        connection.rollback()
    return total


def test_a_claim_looks_at_few_rows_however_many_shards_there_are(database: Database, crowded: uuid.UUID) -> None:
    with recorded(database) as statements, database.transaction() as session:
        claimed = claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=30)
    assert [each.lease.job_id for each in claimed] == [crowded]
    if database.engine.dialect.name == "postgresql":
        looks = [given for given in statements if given[0].lstrip().startswith(("SELECT", "WITH", "UPDATE"))]
        assert rows_read(database, looks) < 1_000
        return
    with database.engine.connect() as connection:
        steps = [
            row.detail
            for statement, parameters in statements
            if statement.lstrip().startswith(("SELECT", "WITH", "UPDATE"))
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert not [step for step in steps if step.startswith(("SCAN shards", "SCAN jobs"))]
    over_shards = [step for step in steps if "shards" in step]
    assert over_shards
    for step in over_shards:
        assert "ix_shards_" in step or "job_id=? AND shard_no=?" in step, step


def claim_up_to(database: Database, at_most: int) -> list[Claim]:
    with database.transaction() as session:
        return claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=30, at_most=at_most)


def covered(claimed: Sequence[Claim]) -> dict[int, list[int]]:
    return {each.lease.shard_no: [item.item_no for item in each.items] for each in claimed}


def test_one_claim_may_bring_several_shards_each_with_its_own_items(database: Database) -> None:
    job_id = add_job(database, items=12, shard_size=2, state=JobState.RUNNING)
    with database.transaction() as session:
        lease(session, session.get_one(ShardRecord, (job_id, 1)))
    assert covered(claim_up_to(database, 3)) == {0: [0, 1], 2: [4, 5], 3: [6, 7]}
    assert covered(claim_up_to(database, 9)) == {4: [8, 9], 5: [10, 11]}
    assert claim_up_to(database, 9) == []


def test_shards_side_by_side_cost_one_claim_no_more_statements_than_one(database: Database) -> None:
    add_job(database, items=20, shard_size=2, state=JobState.RUNNING)
    with recorded(database) as statements, database.transaction() as session:
        claimed = claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=30, at_most=10)
    assert len(claimed) == 10
    assert len([each for each, _ in statements if not each.startswith("BEGIN")]) == 5


def test_items_that_have_settled_come_with_no_shard_of_several(database: Database) -> None:
    add_job(database, items=6, shard_size=2, state=JobState.RUNNING)
    first, second, _ = claim_up_to(database, 3)
    settle(database, first, succeed([1]))
    settle(database, second, succeed([2]))
    with database.transaction() as session:
        for each in (first, second):
            leases.release(session, each.lease)
    assert covered(claim_up_to(database, 3)) == {0: [0], 1: [3]}


def test_a_tenant_that_has_a_rival_gets_one_shard_at_a_time(database: Database) -> None:
    add_job(database, items=6, shard_size=2, state=JobState.RUNNING)
    assert len(claim_up_to(database, 2)) == 2
    add_job(database, items=6, shard_size=2, state=JobState.RUNNING, tenant_id="other")
    assert len(claim_up_to(database, 2)) == 1


def test_a_tenant_with_a_rate_gets_one_shard_at_a_time(database: Database) -> None:
    with database.transaction() as session:
        make_tenant(session, "default", max_items_per_minute=100)
    add_job(database, items=6, shard_size=2, state=JobState.RUNNING)
    assert len(claim_up_to(database, 3)) == 1


def test_an_expired_lease_comes_alone(database: Database) -> None:
    add_job(database, items=6, shard_size=2, state=JobState.RUNNING)
    expire(database, must_claim(database))
    (rescued,) = claim_up_to(database, 3)
    assert rescued.suspect


def test_what_is_suspect_comes_alone_and_behind_what_nobody_has_tried(database: Database) -> None:
    job_id = add_job(database, items=8, shard_size=2, state=JobState.RUNNING)
    change_shards(database, job_id, 0, 2, attempt=1)  # as the halves of a shard that lost two workers
    assert [sorted(covered(claim_up_to(database, 4))) for _ in range(4)] == [[1, 3], [0], [2], []]
