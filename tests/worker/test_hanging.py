"""What hangs: it is noticed, costs the item that hangs and nobody else, and ends the process."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sqlalchemy import select
from torch import Tensor

from jobs import claims
from jobs.claims import Claim
from jobs.database import Database
from jobs.records import ShardRecord
from jobs.retries import POSTPONING
from jobs.states import ItemState, ShardState
from jobs.storage import Storages
from tests import pictures
from tests.worker.test_runner import runner
from tests.worker.test_stream import SIZE, WORKER, Bench, Invert, model_cache, prepared
from worker.hanging import end_hung
from worker.held import HeldLease
from worker.images import PictureLimits, decode
from worker.pipelines.base import Batch, Parameters
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.stream import Stream
from worker.vital import EXIT_BROKEN, EXIT_HUNG, Vital
from worker.watch import Call, Watch

POISON = 5


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


class Hangs(Invert):
    """Never comes back from one picture."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()
        self._poison = torch.from_numpy(pictures.pixels(POISON)).permute(2, 0, 1)

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        for image, (height, width) in zip(batch.images, batch.sizes, strict=True):
            if torch.equal(image[:, :height, :width], self._poison):
                assert self.let_go.wait(120)
        return super().run(batch, style, parameters)


class Watched(Bench):
    """A bench whose process would end where something hangs for a second; the test hears of it."""

    def __init__(self, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(database, folder)
        self.ended: queue.Queue[int] = queue.Queue()
        never = threading.Event()

        def end(status: int) -> None:
            self.ended.put(status)
            never.wait()

        monkeypatch.setattr("worker.hanging.end_process", end)
        self.watch = Watch(self._hung)
        self.calls: list[Call] = []
        settings = WorkerSettings(batch_size=4, read_threads=2, write_threads=2, item_seconds=1, model_threads=1)
        stages = Stages(Storages(), PictureLimits(), memory_bytes=8 << 20)
        self.stream = Stream(stages, self.settler, settings, model_cache(), self.watch)
        self.watch.start()

    def _hung(self, call: Call) -> None:
        self.calls.append(call)
        end_hung(call, runner(self), self.settler)

    def shard(self) -> ShardRecord:
        with self.database.reading() as session:
            return session.scalars(select(ShardRecord)).one()


@pytest.fixture
def watched(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(database, tmp_path, monkeypatch)


def feed(bench: Bench, claim: Claim, pipeline: Invert) -> HeldLease:
    held = HeldLease(claim)
    bench.settler.open(held)
    bench.stream.feed(held, prepared(claim, pipeline), claim.items)
    return held


def test_a_picture_that_hangs_in_a_batch_is_found_by_the_next_attempt_and_fails_alone(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Hangs()
    first = Watched(database, tmp_path, monkeypatch)
    claim = first.claim()
    feed(first, claim, pipeline)
    assert first.ended.get(timeout=60) == EXIT_HUNG
    assert len(first.calls[0].items) > 1
    assert POISON not in first.results(claim), "nobody knows yet which one it is"
    assert first.shard().attempt == 1

    second = Watched(database, tmp_path, monkeypatch)  # as a process that was started anew
    with database.transaction() as session:
        [again] = claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=60)  # before the lease expires
    assert again.suspect
    feed(second, again, pipeline)
    assert second.ended.get(timeout=60) == EXIT_HUNG
    assert [item_no for _, item_no in second.calls[0].items] == [POISON]
    assert second.results(claim)[POISON].error_code == "deadline"

    third = Watched(database, tmp_path, monkeypatch)
    with database.transaction() as session:
        behind = claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=60)
    for last in behind:  # what came behind the poison, unless it was settled before
        feed(third, last, pipeline)
        assert third.settler.wait_until_idle(60)
    results = third.results(claim)
    assert len(results) == SIZE
    assert {number for number, row in results.items() if row.state is not ItemState.SUCCEEDED} == {POISON}
    assert third.shard().state is ShardState.ENDED
    pipeline.let_go.set()


def test_a_picture_that_hangs_in_the_decoder_fails_at_once(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    poison = pictures.png(POISON)

    def hanging(data: bytes, limits: PictureLimits) -> object:
        if data == poison:
            assert let_go.wait(120)
        return decode(data, limits)

    monkeypatch.setattr("worker.sources.decode", hanging)
    claim = watched.claim()
    feed(watched, claim, Invert())
    assert watched.ended.get(timeout=60) == EXIT_HUNG
    results = watched.results(claim)
    assert results[POISON].error_code == "deadline"
    assert "decode took longer than 1 s" in (results[POISON].error_message or "")
    assert {row.state for number, row in results.items() if number != POISON} <= {ItemState.SUCCEEDED}
    shard = watched.shard()
    assert (shard.state, shard.attempt) in {(ShardState.READY, 0), (ShardState.ENDED, 1)}
    let_go.set()


def test_storage_that_hangs_beyond_its_own_limits_fails_no_item(watched: Watched) -> None:
    held = HeldLease(watched.claim())
    watched.settler.open(held)
    call = Call(stage="read", held=held, items=[(held, 3)], limit_seconds=1)
    threading.Thread(target=end_hung, args=(call, runner(watched), watched.settler), daemon=True).start()
    assert watched.ended.get(timeout=60) == EXIT_HUNG
    shard = watched.shard()
    assert (shard.state, shard.attempt, shard.postponed_count) == (ShardState.READY, 0, 1)
    assert watched.results(held.claim) == {}


def test_a_shard_that_hangs_while_it_is_prepared_waits_and_fails_in_the_end(watched: Watched) -> None:
    claim = dataclasses.replace(watched.claim(), postponed_count=POSTPONING.attempts - 1)
    held = HeldLease(claim)
    watched.settler.open(held)
    call = Call(stage="prepare", held=held, items=(), limit_seconds=1)
    threading.Thread(target=end_hung, args=(call, runner(watched), watched.settler), daemon=True).start()
    assert watched.ended.get(timeout=60) == EXIT_HUNG
    assert {row.error_code for row in watched.results(claim).values()} == {"deadline"}
    assert len(watched.results(claim)) == SIZE


def test_a_watch_does_not_count_the_time_for_which_its_process_was_stopped(watched: Watched) -> None:
    hung: list[Call] = []
    watch = Watch(hung.append)
    held = HeldLease(watched.claim())
    with watch.over("decode", held, [(held, 0)], 60):
        watch.tick(3600)
        assert hung == []
        for _ in range(70):
            watch.tick(1)
        assert hung
    hung.clear()
    watch.tick(3600)
    assert hung == [], "what has come back is not watched any more"


def test_a_thread_that_dies_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr("worker.vital.end_process", ended.append)

    def die() -> None:
        raise RuntimeError("nobody thought of this")

    thread = Vital("fragile", die)
    thread.start()
    thread.join(30)
    assert ended == [EXIT_BROKEN]
