"""`python -m benchmarks.stream_stages COUNT SERVER…`: each stage alone, over the catalogue's first COUNT pictures.

The worker's own stages with the worker's own number of threads, one stage after the other, so that each has the machine
for itself; models on batches that are on the device already. Prints one JSON object: by stage, pictures per second and
the processor milliseconds of a picture, of this process and of the servers with these process ids.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from benchmarks.process_tree import cpu_seconds
from benchmarks.stream_device import MILLISECONDS, set_milliseconds
from benchmarks.stream_peers import photos
from benchmarks.stream_worker import Slow
from jobs.cards import CardShelf
from jobs.claims import Claim, ClaimedItem
from jobs.cores import cores
from jobs.leases import Lease
from jobs.recipes import Recipe
from jobs.storage import Storages
from worker.batching import Batcher, BatchSizes, bucket_of
from worker.cascade import ReadyStep
from worker.checkpoints import load_pipeline
from worker.device import resolve
from worker.engine import engine_of
from worker.held import HeldLease
from worker.images import OutputFormat, PictureLimits
from worker.pipelines.base import Batch, Parameters, Pipeline
from worker.prepared import Prepared
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.stream import BATCH_PIXELS
from worker.transfers import Loaded, Restyled, Transfers
from worker.work import Work

Acts = dict[str, tuple[Callable[[Work], None], int]]  # what each stage does, and on how many threads
Totals = dict[str, "Total"]

BOUNDLESS = 1 << 50  # bytes: all pictures of a round are in memory at once
ROUND = 128  # pictures that go through one stage after the other: memory is used again, as a stream does
WARM = 16  # pictures that go first, and do not count: connections are opened, libraries loaded


@dataclass(frozen=True, slots=True)
class Total:
    """What some pictures took in one stage."""

    count: int
    seconds: float
    cpu_seconds: float

    def __add__(self, other: Total) -> Total:
        return Total(self.count + other.count, self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)

    @property
    def figures(self) -> dict[str, float]:
        return {"per_second": self.count / self.seconds, "cpu_ms": 1000 * self.cpu_seconds / self.count}


def main(count: int, servers: Sequence[int]) -> None:
    """Measure all."""
    torch.set_num_threads(1)  # as `worker.lifecycle` does
    settings = WorkerSettings()
    storages = Storages(s3_endpoint_url=os.environ["BENCH_S3"], s3_region=os.environ["AWS_DEFAULT_REGION"])
    stages = Stages(storages, PictureLimits(), memory_bytes=BOUNDLESS)
    transfers = Transfers(resolve(settings.device))
    keys = photos.catalogue()[:count]
    _round(stages, settings, transfers, _works(keys[:WARM]), servers)
    works = _works(keys)
    totals, batches = _round(stages, settings, transfers, works[:ROUND], servers)
    for start in range(ROUND, len(works), ROUND):
        more, _ = _round(stages, settings, transfers, works[start : start + ROUND], servers)
        totals = {name: total + more[name] for name, total in totals.items()}
    totals |= _models(batches)
    print(json.dumps({name: total.figures for name, total in totals.items()}))


def _round(
    stages: Stages, settings: WorkerSettings, transfers: Transfers, works: Sequence[Work], servers: Sequence[int]
) -> tuple[Totals, list[Batch]]:
    """Take works through one stage after the other, but for the model; return their batches too."""
    codecs = settings.codec_threads or cores()
    totals = _acts({"read": (stages.read, settings.read_threads), "decode": (stages.decode, codecs)}, works, servers)
    loaded: list[Loaded] = []
    groups = _groups(works)
    totals["batch"] = _alone(lambda: loaded.extend(map(transfers.load, groups)), len(works), ())
    set_milliseconds(Path(os.environ["BENCH_MILLISECONDS"]), 0)
    for each in loaded:  # a picture comes out of its batch as it does in a worker: as a part of it
        transfers.unload(Restyled(loaded=each, images=Slow().run(each.batch, None, {})))
    leaving: Acts = {
        "measure": (stages.measure, codecs),
        "encode": (stages.encode, codecs),
        "write": (stages.write, settings.write_threads),
    }
    return totals | _acts(leaving, works, servers), [each.batch for each in loaded]


def _acts(acts: Acts, works: Sequence[Work], servers: Sequence[int]) -> Totals:
    def run(act: Callable[[Work], None], threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(act, works))

    return {name: _alone(partial(run, act, threads), len(works), servers) for name, (act, threads) in acts.items()}


def _alone(act: Callable[[], None], count: int, servers: Sequence[int]) -> Total:
    everybody = [os.getpid(), *servers]
    cpu, started = cpu_seconds(everybody), time.perf_counter()
    act()
    seconds = time.perf_counter() - started
    return Total(count, seconds, cpu_seconds(everybody) - cpu)


def _works(keys: Sequence[str]) -> list[Work]:
    """Make the works of a shard that was never claimed."""
    bucket = f"s3://{os.environ['BENCH_BUCKET']}/"
    items = tuple(
        ClaimedItem(item_no=number, source_url=bucket + key, output_key=f"{number}.jpg")
        for number, key in enumerate(keys)
    )
    recipe = Recipe(model="unchanged", parameters={}, format=OutputFormat.JPEG, quality=photos.QUALITY)
    claim = Claim(
        lease=Lease(job_id=uuid.uuid4(), shard_no=0, token=1, attempt=1, worker_id=uuid.uuid4()),
        suspect=False,
        postponed_count=0,
        recipe=recipe,
        recipe_fingerprint="",
        job_created_at=datetime.datetime.now(datetime.UTC),
        styles={},
        output_url=f"{bucket}alone/{uuid.uuid4()}/",  # what is written twice takes more requests
        items=items,
    )
    held = HeldLease(claim)
    engine = engine_of(torch.device("cpu"), CardShelf().get("unchanged"))
    step = ReadyStep(pipeline=Slow(), style=None, parameters={})
    prepared = Prepared(recipe=recipe, fingerprint="", steps=(step,), engine=engine)
    return [Work(held=held, item=item, prepared=prepared) for item in items]


def _groups(works: Sequence[Work]) -> list[list[Work]]:
    """Divide works into the batches that they would have if none waited too long."""
    sizes = BatchSizes(WorkerSettings().batch_size)
    batcher: Batcher[Work] = Batcher(sizes=sizes, pixels=BATCH_PIXELS, hungry_seconds=0, longest_seconds=0)
    groups = []
    for work in works:
        assert work.size is not None
        groups.append(batcher.add(0, bucket_of(*work.size), work, 0))
    while batcher.waiting:
        groups.append(batcher.due(1, hungry=True))
    return [group for group in groups if group]


def _models(batches: Sequence[Batch]) -> Totals:
    """Measure the stand-in for models at each speed, by itself (`model`), and the built-in model."""
    figures = {}
    for name, milliseconds in {**MILLISECONDS, "model": 0.0}.items():
        set_milliseconds(Path(os.environ["BENCH_MILLISECONDS"]), milliseconds)
        figures[name] = _model(Slow(), batches, {})
    graded = load_pipeline(CardShelf(), "reference-grade", batches[0].images.device)
    figures["reference-grade"] = _model(graded, batches, {"strength": 1.0, "keep_white": True})
    return figures


def _model(pipeline: Pipeline, batches: Sequence[Batch], parameters: Parameters) -> Total:
    height, width = batches[0].sizes[0]
    style = pipeline.encode_style([batches[0].images[0, :, :height, :width]])

    def run() -> None:
        for batch in batches:
            pipeline.run(batch, style, parameters)
        if batches[0].images.is_cuda:
            torch.cuda.synchronize()

    with torch.inference_mode():
        pipeline.run(batches[0], style, parameters)  # warms up
        return _alone(run, sum(len(batch.sizes) for batch in batches), ())


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(pid) for pid in sys.argv[2:]])
