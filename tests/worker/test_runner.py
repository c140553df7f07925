"""The runner: what it claims, what it gives back, what it runs alone."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from jobs import claims
from jobs.cards import CardShelf
from jobs.claims import Claim, ClaimedItem
from jobs.database import Database, now
from jobs.recipes import Recipe
from jobs.records import JobRecord, ShardRecord
from jobs.states import JobState, ShardState
from jobs.storage import Storages
from tests import pictures
from tests.factories import make_job, make_style
from tests.worker.test_stream import Bench, model_cache
from worker.held import HeldLease
from worker.prepared import Prepared
from worker.runner import Runner, shards_at_most

WORKER = uuid.UUID(int=8)


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Bench:
    return Bench(database, tmp_path)


def runner(bench: Bench, shelf: CardShelf | None = None) -> Runner:
    models = model_cache(shelf)
    return Runner(
        bench.database,
        bench.held_leases,
        models,
        bench.stream,
        bench.settler,
        bench.watch,
        lambda _: None,
        worker_id=WORKER,
        queue="gpu",
        lease_seconds=60,
    )


def shards(bench: Bench) -> list[ShardRecord]:
    with bench.database.reading() as session:
        return list(session.scalars(select(ShardRecord).order_by(ShardRecord.shard_no)))


def test_without_work_there_is_nothing_to_do(bench: Bench) -> None:
    assert not runner(bench).step()


def test_a_runner_that_winds_down_claims_nothing_more(bench: Bench) -> None:
    with bench.database.transaction() as session:
        make_job(session, items=1)
    winding = runner(bench)
    winding.wind_down()
    assert not winding.step()
    assert shards(bench)[0].state is ShardState.READY


def test_a_style_that_cannot_be_opened_ends_its_job_at_once_and_burns_no_attempt(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "look.jpg").write_bytes(pictures.jpeg(1)[:100])
    reference = {"url": f"file://{tmp_path}/look.jpg", "sha256": "0", "bytes": 100, "file_name": "look.jpg"}
    with bench.database.transaction() as session:
        style = make_style(session, references=[reference])
        recipe = Recipe(model="reinhard", style="warm")
        job_id = make_job(session, items=6, shard_size=2, recipe=recipe, style_id=style.id).id
    running = runner(bench)
    assert not running.step()
    assert not running.step()
    with bench.database.reading() as session:
        job = session.get_one(JobRecord, job_id)
    assert job.state is JobState.CANCELLING
    assert job.error is not None
    assert job.error["code"] in {"recipe_truncated", "recipe_corrupt_image"}
    for told in (f"file://{tmp_path}/look.jpg", "'warm'", "upload pictures that can be opened"):
        assert told in job.error["message"]
    assert {(shard.state, shard.attempt, shard.lease_token) for shard in shards(bench)} == {
        (ShardState.READY, 0, 1),
        (ShardState.READY, 0, 0),
    }, "one shard found out for all"
    assert bench.held_leases.all() == []


def test_storage_that_is_away_for_a_moment_costs_the_job_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    unreachable = {"url": "s3://shop/look.jpg", "sha256": "0", "bytes": 100, "file_name": "look.jpg"}
    with bench.database.transaction() as session:
        style = make_style(session, references=[unreachable])
        job_id = make_job(session, items=2, recipe=Recipe(model="reinhard", style="warm"), style_id=style.id).id
    away = runner(bench)
    away._models._storages = Storages(s3_endpoint_url="http://127.0.0.1:1", s3_region="us-east-1")
    assert not away.step()
    assert bench.settler.wait_until_idle(30)
    with bench.database.reading() as session:
        assert session.get_one(JobRecord, job_id).state is JobState.RUNNING
    (shard,) = shards(bench)
    assert (shard.state, shard.attempt) == (ShardState.READY, 0)


def test_a_shard_that_was_rescued_runs_with_nothing_else_in_flight(bench: Bench) -> None:
    claim = bench.claim()
    with bench.database.transaction() as session:
        shard = session.get_one(ShardRecord, (claim.lease.job_id, 0))
        shard.lease_expires_at = now(session) - datetime.timedelta(seconds=1)
    rescuing = runner(bench)
    assert rescuing.step()
    # The step of a suspect shard returns only when all of it is settled.
    (ended,) = shards(bench)
    assert (ended.state, ended.attempt, ended.succeeded_count) == (ShardState.ENDED, 2, 12)


@pytest.mark.parametrize(
    ("claimed", "seconds", "claim_seconds", "next_time"),
    [
        (1, 0.01, 0.01, 2),
        (2, 0.24, 0.01, 4),
        (16, 0.01, 0.01, 16),
        (4, 0.3, 0.01, 4),
        (4, 0.6, 0.01, 2),
        (1, 9.0, 0.01, 1),
        (2, 0.6, 0.8, 4),  # the claim itself takes long: the more should it bring
        (4, 1.0, 0.8, 4),
        (4, 1.7, 0.8, 2),
    ],
)
def test_more_shards_are_claimed_at_once_only_while_they_are_done_fast(
    claimed: int, seconds: float, claim_seconds: float, next_time: int
) -> None:
    assert shards_at_most(claimed, seconds, claim_seconds) == next_time


def test_a_claim_that_takes_long_is_made_before_the_last_one_has_been_fed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed, fed_at_claims = [], []
    feed, claim = bench.stream.feed, claims.claim

    def slow_feed(held: HeldLease, prepared: Prepared, items: Sequence[ClaimedItem]) -> None:
        for item in items:
            time.sleep(0.02)
            feed(held, prepared, [item])
            fed.append(item.item_no)

    def slow_claim(session: Session, **asked: Any) -> list[Claim]:
        fed_at_claims.append(len(fed))
        time.sleep(0.1)
        return claim(session, **asked)

    monkeypatch.setattr(bench.stream, "feed", slow_feed)
    monkeypatch.setattr(claims, "claim", slow_claim)
    monkeypatch.setattr("worker.runner.CLAIM_SECONDS", 0.0)  # one shard at a time
    with bench.database.transaction() as session:
        make_job(session, items=90, shard_size=30, recipe=Recipe(model="unchanged"))
    running = runner(bench)
    while running.step():
        pass
    assert fed_at_claims[:2] == [0, 30], "before the first has been fed nothing is known of how long one takes"
    assert 30 < fed_at_claims[2] < 60, "while the second was being fed, and not at its start"
    assert bench.settler.wait_until_idle(30)
    assert {shard.state for shard in shards(bench)} == {ShardState.ENDED}


def test_a_worker_that_is_fast_claims_several_shards_and_runs_them_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.runner.CLAIM_SECONDS", 3600)  # whatever else the machine does, this is fast
    with bench.database.transaction() as session:
        make_job(session, items=96, shard_size=4, recipe=Recipe(model="unchanged"))
    fast, counts = runner(bench), []
    while fast.step():
        counts.append(len([shard for shard in shards(bench) if shard.state is not ShardState.READY]) - sum(counts))
    assert counts[0] == 1
    assert max(counts) >= 4
    assert bench.settler.wait_until_idle(30)
    assert {shard.state for shard in shards(bench)} == {ShardState.ENDED}


def test_suspect_shards_run_one_after_the_other(bench: Bench) -> None:
    with bench.database.transaction() as session:
        job_id = make_job(session, items=12, shard_size=2, recipe=Recipe(model="unchanged")).id
        session.execute(update(ShardRecord).where(ShardRecord.job_id == job_id).values(attempt=1))
    fast = runner(bench)
    while fast.step():
        assert bench.settler.wait_until_idle(30), "two suspects wait for each other"
    assert {shard.state for shard in shards(bench)} == {ShardState.ENDED}
