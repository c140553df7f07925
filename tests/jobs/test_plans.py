"""What every worker asks all the time, among 100,000 shards: nothing reads the table of shards from end to end."""

from __future__ import annotations

import datetime
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Integer, Uuid, bindparam, select, text, update

from jobs import claims, leases
from jobs.database import Database, append, now
from jobs.leases import ItemResult
from jobs.maintenance import start_finishing, waiting_queues
from jobs.queries import job_status
from jobs.records import ItemRecord, JobRecord, ResultRecord, ShardRecord
from jobs.shards import pending_items
from jobs.states import ItemState, JobState, ShardState
from jobs.tenants import Tenant
from tests import factories
from tests.factories import item_row, make_job, result_row
from tests.jobs.test_queries import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

TENANT = Tenant(id="default", allowed_prefixes=())
WORKER = uuid.UUID(int=1)
JOBS, SHARDS = 100, 1_000
SCANS = re.compile(r"Seq Scan on shards|SCAN shards(?! USING)|SCAN s\b(?! USING)")


@pytest.fixture
def crowded(database: Database) -> Database:
    """A hundred jobs of a thousand shards: most have ended, some wait, some are leased, one lease has expired."""
    with database.transaction() as session:
        for _ in range(JOBS):
            job = make_job(session, state=JobState.RUNNING, planned_item_count=SHARDS, planned_shard_count=SHARDS)
            append(session, ItemRecord, [item_row(job, number) for number in (SHARDS - 30, SHARDS - 1)])
            append(session, ShardRecord, [shard_row(job.id, number, now(session)) for number in range(SHARDS)])
        session.execute(
            update(ShardRecord)
            .where(ShardRecord.job_id == job.id, ShardRecord.shard_no == SHARDS - 30)
            .values(lease_expires_at=now(session) - datetime.timedelta(seconds=9))
        )
    if database.engine.dialect.name == "postgresql":
        with database.transaction() as session:
            session.execute(text("ANALYZE"))
    return database


def shard_row(job_id: uuid.UUID, number: int, moment: datetime.datetime) -> dict[str, Any]:
    leased, ready = number == SHARDS - 30, number >= SHARDS - 20
    state = ShardState.LEASED if leased else ShardState.READY if ready else ShardState.ENDED
    return {
        "job_id": job_id,
        "shard_no": number,
        "first_item_no": number,
        "end_item_no": number + 1,
        "item_count": 1,
        "state": state,
        "attempt": 0 if ready else 1,
        "lease_token": 0 if ready else 1,
        "lease_expires_at": moment + datetime.timedelta(hours=1) if leased else None,
        "worker_id": WORKER if leased else None,
        "postponed_count": 0,
        "succeeded_count": int(state is ShardState.ENDED),
        "reused_count": 0,
        "rejected_count": 0,
        "failed_count": 0,
        "cancelled_count": 0,
        "measures": None,
    }


def plan_of(database: Database, act: Callable[[], object]) -> str:
    """Do something; return how the database finds the shards that its statements ask for."""
    with recorded(database) as statements:
        act()
    asked = [(statement, parameters) for statement, parameters in statements if "shards" in statement]
    assert asked, "no statement asked for shards"
    explain = "EXPLAIN" if database.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    with database.engine.connect() as connection:
        return "\n".join(
            str(row)
            for statement, parameters in asked
            if not statement.startswith(("COPY", "SAVEPOINT"))
            for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)
        )


def test_no_question_of_a_worker_reads_all_shards(crowded: Database) -> None:
    claimed: list[claims.Claim] = []

    def claim() -> None:
        with crowded.transaction() as session:
            claimed.extend(claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=600))

    def renew() -> None:
        with crowded.transaction() as session:
            assert leases.renew(session, [each.lease for each in claimed], lease_seconds=600)

    def settle() -> None:
        with crowded.transaction() as session:
            result = ItemResult(item_no=claimed[0].items[0].item_no, state=ItemState.SUCCEEDED)
            assert factories.settle(session, claimed[0].lease, [result])

    def release() -> None:
        with crowded.transaction() as session:
            leases.release(session, claimed[1].lease)

    def maintain() -> None:
        with crowded.transaction() as session:
            start_finishing(session)
        with crowded.reading() as session:
            assert waiting_queues(session)

    steps: dict[str, Callable[[], None]] = {
        "rescue": claim,
        "claim": claim,
        "renew": renew,
        "settle": settle,
        "release": release,
        "maintain": maintain,
    }
    for name, act in steps.items():
        plan = plan_of(crowded, act)
        assert not SCANS.search(plan), f"{name}:\n{plan}"
    assert claimed[0].lease.attempt == 2, "the lease that had expired was not rescued first"

    def scan() -> None:
        with crowded.reading() as session:
            session.execute(select(ShardRecord.shard_no).where(ShardRecord.item_count == 7)).all()

    assert SCANS.search(plan_of(crowded, scan)), "a guard that sees no scan would always pass"


def test_a_look_at_a_job_asks_none_of_its_shards(database: Database) -> None:
    """What is looked at is what it asks, so that few shards tell as much as many."""
    with database.transaction() as session:
        make_job(session, state=JobState.RUNNING, items=4, shard_size=2)
    with database.reading() as session:
        job_id = session.scalars(select(JobRecord.id)).one()
        with recorded(database) as statements:
            job_status(session, TENANT, job_id)
    assert [" shards" in statement for statement, _ in statements] == [False]


def test_a_claim_reads_no_results_but_those_of_its_shards(postgres_url: str) -> None:
    """Whatever the range: a plan is kept, and made for none of them."""
    database = Database(postgres_url)
    with database.transaction() as session:
        job = make_job(session, state=JobState.RUNNING)
        append(session, ItemRecord, [item_row(job, number) for number in range(20_000)])
        done = ItemState.SUCCEEDED
        append(
            session, ResultRecord, [result_row(job, number, done, settled_at=now(session)) for number in range(9_000)]
        )
        session.execute(text("ANALYZE"))
        session.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        pending = pending_items(*(bindparam(name, type_=kind) for name, kind in PLACES.items()))
        with recorded(database) as statements:
            session.execute(pending, {"job": job.id, "first": 8_900, "end": 9_028})
        [(statement, _parameters)] = statements
        numbered = iter(range(1, 10))
        generic = re.sub(r"%\(\w+\)s", lambda _: f"${next(numbered)}", statement)
        connection = session.connection().connection.driver_connection
        assert connection is not None
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN (GENERIC_PLAN) {generic}"))
    database.close()
    of_results = plan[plan.index("on results") :]
    assert "Seq Scan on results" not in plan
    assert "item_no >=" in of_results.split("Index Cond", 1)[1].splitlines()[0], plan


PLACES = {"job": Uuid(), "first": Integer(), "end": Integer()}
