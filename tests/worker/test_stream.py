"""The stream, with models made for the purpose: whatever enters it leaves it at the settler, once."""

from __future__ import annotations

import dataclasses
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import select, update
from torch import Tensor

from jobs import claims
from jobs.cards import CardShelf
from jobs.claims import Claim
from jobs.database import Database, append
from jobs.engines import engine_facts
from jobs.errors import StorageError
from jobs.locations import Location
from jobs.queries import item_page
from jobs.recipes import Recipe
from jobs.records import ItemErrorRecord, ItemRecord, JobRecord, ResultRecord, ShardRecord, SumRecord
from jobs.result_lines import picture_url
from jobs.retries import POSTPONING, Backoff
from jobs.stages import STAGES
from jobs.states import ItemState, ShardState
from jobs.storage import Storage, Storages
from jobs.storage_folder import FolderStorage
from tests import pictures
from tests.factories import make_job, result_row
from worker.cascade import ReadyStep
from worker.engine import engine_of
from worker.held import HeldLease, HeldLeases
from worker.images import PictureLimits
from worker.model_cache import ModelCache
from worker.pipelines.base import Batch, Parameters
from worker.prepared import Prepared
from worker.settings import WorkerSettings
from worker.settler import Settler
from worker.stages import Stages
from worker.stream import Stream
from worker.transfers import assemble
from worker.watch import Watch
from worker.work import Work

WORKER = uuid.UUID(int=7)
SIZE = 12


class Invert:
    """Gives each picture its negative, and keeps the sizes of the batches that came."""

    def __init__(self, *, fits: int = 99, refuses: Callable[[Tensor], bool] = lambda _image: False) -> None:
        self.sizes: list[int] = []
        self._fits = fits
        self._refuses = refuses

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor | None:
        return None

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        if len(batch.images) > self._fits:
            raise torch.OutOfMemoryError("too many")
        for image, (height, width) in zip(batch.images, batch.sizes, strict=True):
            if self._refuses(image[:, :height, :width]):
                raise RuntimeError("this picture is poison")
        self.sizes.append(len(batch.images))
        return 255 - batch.images


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


class Stuttering(FolderStorage):
    """A folder that answers 503 to the first two calls for each key, as a busy S3 does."""

    def __init__(self, folder: str, calls: Counter[str]) -> None:
        super().__init__(folder)
        self._calls = calls

    def read(self, key: str, *, max_bytes: int) -> bytes:
        self._stutter(key)
        return super().read(key, max_bytes=max_bytes)

    def write(self, key: str, data: bytes, *, media_type: str, order: str | None = None) -> None:
        self._stutter(key)
        super().write(key, data, media_type=media_type, order=order)

    def _stutter(self, key: str) -> None:
        self._calls[key] += 1
        if self._calls[key] <= 2:
            raise StorageError("503 SlowDown")


class Flaky(Storages):
    """Gives out folders that stutter."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def at(self, location: Location) -> Storage:
        return Stuttering(location.folder.key, self.calls)


def model_cache(shelf: CardShelf | None = None) -> ModelCache:
    return ModelCache(shelf or CardShelf(), torch.device("cpu"), Storages(), PictureLimits(), memory_bytes=64 << 20)


class Bench:
    """A stream over a folder, and a claim of one job of `SIZE` pictures."""

    def __init__(
        self, database: Database, folder: Path, storages: Storages | None = None, *, model_threads: int = 1
    ) -> None:
        self.database = database
        self.folder = folder
        self.held_leases = HeldLeases()
        self.settler = Settler(database, self.held_leases, on_job_complete=lambda _job_id: None)
        settings = WorkerSettings(batch_size=4, read_threads=2, write_threads=2, model_threads=model_threads)
        stages = Stages(storages or Storages(), PictureLimits(), memory_bytes=8 << 20)
        self.watch = Watch(lambda _call: None)
        self.models = model_cache()
        self.stream = Stream(stages, self.settler, settings, self.models, self.watch)
        self.settler.start()

    def claim(
        self, *, replace: dict[int, bytes] | None = None, urls: dict[int, str] | None = None, **members: Any
    ) -> Claim:
        """Claim a new job; `members` are those of its recipe that differ."""
        (self.folder / "in").mkdir(exist_ok=True)
        for number in range(SIZE):
            data = (replace or {}).get(number, pictures.png(number))
            (self.folder / "in" / f"{number}.png").write_bytes(data)
        with self.database.transaction() as session:
            recipe = Recipe.model_validate({"model": "unchanged", "format": "png"} | members)
            job = make_job(session, items=SIZE, recipe=recipe, output_url=f"file://{self.folder}/out/")
            for number in range(SIZE):
                session.execute(
                    update(ItemRecord)
                    .where(ItemRecord.job_id == job.id, ItemRecord.item_no == number)
                    .values(
                        source_url=(urls or {}).get(number, f"file://{self.folder}/in/{number}.png"),
                        output_key=f"{number}.png",
                    )
                )
        with self.database.transaction() as session:
            [claim] = claims.claim(session, worker_id=WORKER, queue="gpu", lease_seconds=60)
        return claim

    def run(self, claim: Claim, pipeline: Invert) -> HeldLease:
        held = HeldLease(claim)
        self.settler.open(held)
        self.stream.feed(held, prepared(claim, pipeline), claim.items)
        assert self.settler.wait_until_idle(30)
        return held

    def results(self, claim: Claim) -> dict[int, ResultRecord]:
        with self.database.reading() as session:
            rows = session.scalars(select(ResultRecord).where(ResultRecord.job_id == claim.lease.job_id))
            return {row.item_no: row for row in rows}

    def outputs(self) -> dict[int, bytes]:
        return {int(path.stem): path.read_bytes() for path in (self.folder / "out").glob("*.png")}


def prepared(claim: Claim, pipeline: Invert) -> Prepared:
    return Prepared(
        recipe=claim.recipe,
        fingerprint=claim.recipe_fingerprint,
        steps=(ReadyStep(pipeline=pipeline, style=None, parameters=claim.recipe.parameters),),
        engine=engine_of(torch.device("cpu"), CardShelf().get(claim.recipe.model)),
    )


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Bench:
    return Bench(database, tmp_path)


@pytest.fixture
def patient(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose batches are full, however slowly pictures come.

    What is left over, because the size changed while a batch was being filled, still comes before a run is given up.
    """
    monkeypatch.setattr("worker.stream.HUNGRY_SECONDS", 10)
    monkeypatch.setattr("worker.stream.LONGEST_SECONDS", 10)
    return Bench(database, tmp_path)


def calm_outputs(bench: Bench) -> dict[int, bytes]:
    bench.run(bench.claim(), Invert())
    return bench.outputs()


def test_every_item_is_settled_and_its_shard_and_job_move_on(bench: Bench) -> None:
    claim = bench.claim()
    bench.run(claim, Invert())
    results = bench.results(claim)
    assert {row.state for row in results.values()} == {ItemState.SUCCEEDED}
    assert len(results) == SIZE
    assert all(set(row.milliseconds or {}) == set(STAGES) for row in results.values())
    with bench.database.reading() as session:
        assert session.get_one(ShardRecord, (claim.lease.job_id, 0)).state is ShardState.ENDED
        assert session.get_one(JobRecord, claim.lease.job_id).state == "finishing"


def test_every_result_says_what_computed_it_and_how_long_it_held_the_device(bench: Bench) -> None:
    claim = bench.claim(replace={3: b"no picture"})
    bench.run(claim, Invert())
    results = bench.results(claim)
    unopened = results.pop(3)
    assert (unopened.device_seconds, unopened.cost, unopened.engine) == (None, None, None)
    [digest] = {row.engine for row in results.values()}
    assert digest == prepared(claim, Invert()).engine.digest
    seconds = [row.device_seconds for row in results.values() if row.device_seconds is not None]
    assert len(seconds) == SIZE - 1
    assert all(each > 0 for each in seconds)
    with bench.database.reading() as session:
        [part] = session.scalars(select(SumRecord))
        assert engine_facts(session, [digest]) == {digest: prepared(claim, Invert()).engine.facts}
    assert (part.device_item_count, part.device_seconds) == (SIZE - 1, pytest.approx(sum(seconds)))


def test_a_batch_holds_as_much_of_a_cpu_as_its_thread_does(database: Database, tmp_path: Path) -> None:
    bench = Bench(database, tmp_path, model_threads=4)
    claim = bench.claim()
    bench.run(claim, SlowToRefuse(fits=1))
    rows = bench.results(claim).values()
    held = sum(row.device_seconds or 0.0 for row in rows)
    passed = sum((row.milliseconds or {})["model"] for row in rows) / 1000
    assert held == pytest.approx(passed / 4, rel=0.05)


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost(bench: Bench) -> None:
    expected = calm_outputs(bench)
    small = Invert(fits=1)
    claim = bench.claim()
    bench.run(claim, small)
    assert set(small.sizes) == {1}
    assert {row.state for row in bench.results(claim).values()} == {ItemState.SUCCEEDED}
    assert bench.outputs() == expected


class SpoilTheLight(Invert):
    """Gives pictures whose first pixel is light their negative, and leaves the others."""

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        light = batch.images[:, :, 0, 0].float().mean(1) > LIGHT
        return torch.where(light[:, None, None, None], 255 - batch.images, batch.images)


LIGHT = 128


def test_what_breaks_a_gate_is_rejected_with_what_was_measured_and_lies_apart(bench: Bench) -> None:
    dark = pictures.encoded(255 - pictures.pixels(3), "PNG")
    claim = bench.claim(
        replace={3: dark, 5: b"no picture"}, gates={"ssim": {"minimum": 0.9}, "colour_shift": {"maximum": 2}}
    )
    bench.run(claim, SpoilTheLight())
    results = bench.results(claim)
    good, broken = results.pop(3), results.pop(5)
    assert (good.state, good.error_code, (good.measures or {})["ssim"]) == (ItemState.SUCCEEDED, None, 1)
    assert (broken.state, broken.measures) == (ItemState.FAILED, None)
    for row in results.values():
        assert row.measures is not None
        assert (row.state, row.error_code) == (ItemState.REJECTED, "gate_broken")
        assert row.error_message == (
            f"colour_shift is {row.measures['colour_shift']:g}, above the maximum of 2; "
            f"ssim is {row.measures['ssim']:g}, below the minimum of 0.9"
        )
        assert row.sha256
    assert set(bench.outputs()) == {3}, "nothing that was rejected lies at its key"
    apart = bench.folder / "out" / "_restyle" / str(claim.lease.job_id) / "rejected"
    assert {int(path.stem) for path in apart.iterdir()} == set(results)
    with bench.database.reading() as session:
        shard = session.get_one(ShardRecord, (claim.lease.job_id, 0))
        job = session.get_one(JobRecord, claim.lease.job_id)
        page = item_page(session, job, limit=2)
    assert (shard.succeeded_count, shard.rejected_count, shard.failed_count) == (1, SIZE - 2, 1)
    assert picture_url(job, page.rows[0].item.output_key, page.rows[0].state) == f"file://{apart}/0.png"


def test_what_is_accepted_after_all_has_the_bytes_that_were_rejected(bench: Bench) -> None:
    rejected = bench.claim(gates={"ssim": {"minimum": 0.9}})
    bench.run(rejected, Invert())
    apart = bench.folder / "out" / "_restyle" / str(rejected.lease.job_id) / "rejected"
    seen = {path.name: path.read_bytes() for path in apart.iterdir()}
    assert (len(seen), bench.outputs()) == (SIZE, {})
    bench.run(bench.claim(), Invert())  # the same items, as `restyle retry --no-gates` gives them
    assert {name: (bench.folder / "out" / name).read_bytes() for name in seen} == seen


class SlowToRefuse(Invert):
    """Holds the device for a while before it says that a batch does not fit."""

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        if len(batch.images) > self._fits:
            time.sleep(0.04)
        return super().run(batch, style, parameters)


def test_the_time_of_batches_that_did_not_fit_is_on_the_account_of_their_pictures(bench: Bench) -> None:
    claim = bench.claim()
    bench.run(claim, SlowToRefuse(fits=1))
    seconds = [row.device_seconds or 0.0 for row in bench.results(claim).values()]
    assert max(seconds) >= 0.04 / 4 + 0.04 / 2, "four together, then two together, then alone"


class Counting(Invert):
    """Keeps the sizes of the batches that were tried, too."""

    def __init__(self, *, fits: int) -> None:
        super().__init__(fits=fits)
        self.tried: list[int] = []

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        self.tried.append(len(batch.images))
        return super().run(batch, style, parameters)


def test_how_many_pictures_fit_is_remembered(patient: Bench) -> None:
    small = Counting(fits=2)
    patient.run(patient.claim(), small)
    assert max(small.tried) > 2
    small.tried.clear()
    patient.run(patient.claim(), small)
    assert max(small.tried) == 2


def test_a_picture_that_never_fits_fails_alone(bench: Bench) -> None:
    claim = bench.claim()
    bench.run(claim, Invert(fits=0))
    assert {row.error_code for row in bench.results(claim).values()} == {"out_of_memory"}


class Tiled(Invert):
    """Takes a picture in tiles, however small the device."""

    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        return torch.cat([255 - strip for strip in batch.images.split(7, dim=2)], dim=2)


def test_a_picture_that_never_fits_whole_runs_in_tiles_where_its_model_can(bench: Bench) -> None:
    expected = calm_outputs(bench)
    claim = bench.claim()
    bench.run(claim, Tiled(fits=0))
    assert {row.state for row in bench.results(claim).values()} == {ItemState.SUCCEEDED}
    assert bench.outputs() == expected


class Crowded(Invert):
    """Fits only where no model lies beside it."""

    def __init__(self, models: ModelCache) -> None:
        super().__init__()
        self._models = models

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        if self._models.names:
            raise torch.OutOfMemoryError("other models are in the way")
        return super().run(batch, style, parameters)


def test_other_models_are_evicted_before_a_batch_is_halved(patient: Bench) -> None:
    claim = patient.claim()
    patient.models.prepare(dataclasses.replace(claim, recipe_fingerprint="another recipe"))
    assert patient.models.names == ["unchanged"]
    crowded = Crowded(patient.models)
    patient.run(claim, crowded)
    assert {row.state for row in patient.results(claim).values()} == {ItemState.SUCCEEDED}
    assert patient.models.names == []
    assert max(crowded.sizes) == 4, "the batch was run again as it was"


def test_a_picture_that_a_batch_cannot_be_made_of_fails_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = calm_outputs(bench)

    def short_of_memory(works: Sequence[Work], *, pinned: bool = False) -> Tensor:
        if any(work.item.item_no == 5 for work in works):
            raise MemoryError
        return assemble(works, pinned=pinned)

    monkeypatch.setattr("worker.transfers.assemble", short_of_memory)
    claim = bench.claim()
    bench.run(claim, Invert())
    reasons = {number: row.error_code for number, row in bench.results(claim).items() if row.error_code}
    assert reasons == {5: "out_of_memory"}
    assert bench.outputs() == expected


@pytest.mark.parametrize("stage", ["read", "decode", "encode", "write"])
def test_a_stage_that_breaks_on_a_picture_costs_that_picture_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    expected = calm_outputs(bench)
    whole = getattr(Stages, stage)

    def breaks(stages: Stages, work: Work) -> None:
        if work.item.item_no == 5:
            raise ZeroDivisionError("nobody thought of this")
        whole(stages, work)

    monkeypatch.setattr(Stages, stage, breaks)
    broken = Bench(bench.database, bench.folder)
    claim = broken.claim()
    shutil.rmtree(bench.folder / "out")
    broken.run(claim, Invert())
    failed = {number: row for number, row in broken.results(claim).items() if row.state is ItemState.FAILED}
    assert list(failed) == [5]
    assert f"{stage} failed: ZeroDivisionError('nobody thought of this')" in str(failed[5].error_message)
    assert bench.outputs() == {number: data for number, data in expected.items() if number != 5}


def test_a_picture_that_the_model_fails_on_costs_nobody_else(bench: Bench) -> None:
    expected = calm_outputs(bench)
    poison = torch.from_numpy(pictures.pixels(5)).permute(2, 0, 1)
    claim = bench.claim()
    bench.run(claim, Invert(refuses=lambda image: torch.equal(image, poison)))
    results = bench.results(claim)
    assert {number: row.error_code for number, row in results.items() if row.error_code} == {5: "model_failed"}
    assert bench.outputs() == expected


def test_bad_files_cost_only_themselves_and_their_neighbours_bytes_are_the_same(bench: Bench) -> None:
    expected = calm_outputs(bench)
    claim = bench.claim(
        replace={2: b"", 7: b"not a picture at all", 9: pictures.bomb_png()},
        urls={4: "s3://shop/a/../b.png", 5: f"file://{bench.folder}/in/gone.png"},
    )
    bench.run(claim, Invert())
    reasons = {number: row.error_code for number, row in bench.results(claim).items() if row.error_code}
    assert reasons == {
        2: "empty_object",
        4: "location_invalid",
        5: "object_missing",
        7: "not_an_image",
        9: "too_many_pixels",
    }
    outputs = bench.outputs()
    assert {number: outputs[number] for number in range(SIZE) if number not in reasons} == {
        number: data for number, data in expected.items() if number not in reasons
    }


def test_storage_that_stutters_costs_time_and_no_item_and_every_failed_try_is_kept(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.stages.STORAGE", Backoff(attempts=3, base_seconds=0.01, cap_seconds=0.02))
    flaky = Flaky()
    bench = Bench(database, tmp_path, flaky)
    claim = bench.claim()
    bench.run(claim, Invert())
    assert {row.state for row in bench.results(claim).values()} == {ItemState.SUCCEEDED}
    assert set(flaky.calls.values()) == {3}
    with database.reading() as session:
        tries = session.scalars(select(ItemErrorRecord).where(ItemErrorRecord.job_id == claim.lease.job_id)).all()
    assert Counter(row.item_no for row in tries) == dict.fromkeys(range(SIZE), 4)
    assert {row.code for row in tries} == {"storage_unavailable"}


def test_storage_that_stays_away_fails_the_item_in_the_end(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.stages.STORAGE", Backoff(attempts=2, base_seconds=0.01, cap_seconds=0.02))
    bench = Bench(database, tmp_path, Flaky())
    claim = dataclasses.replace(bench.claim(), postponed_count=POSTPONING.attempts - 1)
    bench.run(claim, Invert())
    assert {row.error_code for row in bench.results(claim).values()} == {"storage_unavailable"}


def test_a_lease_that_winds_down_is_given_back_with_what_is_left(bench: Bench) -> None:
    claim = bench.claim()
    held = HeldLease(claim)
    held.wind_down()
    bench.settler.open(held)
    bench.stream.feed(held, prepared(claim, Invert()), claim.items)
    assert bench.settler.wait_until_idle(30)
    assert bench.results(claim) == {}
    with bench.database.reading() as session:
        shard = session.get_one(ShardRecord, (claim.lease.job_id, 0))
        assert (shard.state, shard.attempt) == (ShardState.READY, 0)
    assert bench.held_leases.all() == []


def test_results_that_the_database_never_takes_are_let_go_and_not_tried_for_ever(bench: Bench) -> None:
    claim = bench.claim()
    with bench.database.transaction() as session:
        row = result_row(session.get_one(JobRecord, claim.lease.job_id), 3, ItemState.SUCCEEDED)
        append(session, ResultRecord, [row])  # stands in the way of the result that is to come
    held = bench.run(claim, Invert())
    assert not held.alive
    assert bench.held_leases.all() == [], "the lease is renewed no more"
    with bench.database.reading() as session:
        shard = session.get_one(ShardRecord, (claim.lease.job_id, 0))
        assert (shard.state, shard.succeeded_count) == (ShardState.LEASED, 0)


def test_a_lost_lease_records_nothing(bench: Bench) -> None:
    claim = bench.claim()
    with bench.database.transaction() as session:
        session.execute(update(ShardRecord).values(lease_token=ShardRecord.lease_token + 1))
    held = bench.run(claim, Invert())
    assert not held.alive
    assert bench.results(claim) == {}
