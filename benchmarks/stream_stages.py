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
from worker.images import OutputFormat, Picture, PictureLimits
from worker.model_cache import Prepared
from worker.pipelines.base import Batch, Parameters, Pipeline
from worker.settings import WorkerSettings
from worker.stages import Stages
from worker.stream import BATCH_PIXELS
from worker.work import Work

Acts = dict[str, tuple[Callable[[Work], None], int]]  # what each stage does, and on how many threads
Figures = dict[str, dict[str, float]]

BOUNDLESS = 1 << 50  # bytes: all pictures are in memory at once here
WARM = 16  # pictures that go first, and do not count: connections are opened, libraries loaded


def main(count: int, servers: Sequence[int]) -> None:
    """Measure all."""
    settings = WorkerSettings()
    torch.set_num_threads(1)  # as `worker.lifecycle` does
    storages = Storages(s3_endpoint_url=os.environ["BENCH_S3"], s3_region=os.environ["AWS_DEFAULT_REGION"])
    stages = Stages(storages, PictureLimits(), memory_bytes=BOUNDLESS)
    acts: Acts = {
        "read": (stages.read, settings.read_threads),
        "decode": (stages.decode, settings.codec_threads or cores()),
        "measure": (stages.measure, settings.codec_threads or cores()),
        "encode": (stages.encode, settings.codec_threads or cores()),
        "write": (stages.write, settings.write_threads),
    }
    keys = photos.catalogue()[:count]
    _stages(acts, _works(keys[:WARM]), servers)
    figures, pictures = _stages(acts, _works(keys), servers)
    print(json.dumps(figures | _models(_batches(pictures, resolve(settings.device)))))


def _stages(acts: Acts, works: Sequence[Work], servers: Sequence[int]) -> tuple[Figures, list[Picture]]:
    """Take works through one stage after the other; return the pictures too."""
    figures: Figures = {}
    pictures: list[Picture] = []

    def run(act: Callable[[Work], None], threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(act, works))

    for name, (act, threads) in acts.items():
        figures[name] = _alone(partial(run, act, threads), len(works), servers)
        if name == "decode":
            for work in works:
                assert work.picture is not None
                pictures.append(work.picture)
                work.output = work.picture.pixels
    return figures, pictures


def _alone(act: Callable[[], None], count: int, servers: Sequence[int]) -> dict[str, float]:
    everybody = [os.getpid(), *servers]
    cpu, started = cpu_seconds(everybody), time.perf_counter()
    act()
    seconds = time.perf_counter() - started
    return {"per_second": count / seconds, "cpu_ms": 1000 * (cpu_seconds(everybody) - cpu) / count}


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


def _batches(pictures: Sequence[Picture], device: torch.device) -> list[Batch]:
    """Put all pictures into the batches that they would have if none waited too long."""
    sizes = BatchSizes(WorkerSettings().batch_size)
    batcher: Batcher[Picture] = Batcher(sizes=sizes, pixels=BATCH_PIXELS, hungry_seconds=0, longest_seconds=0)
    batches = [batcher.add(0, bucket_of(each.height, each.width), each, 0) for each in pictures]
    while batcher.waiting:
        batches.append(batcher.due(1, hungry=True))
    return [_batch(members, device) for members in batches if members]


def _batch(pictures: Sequence[Picture], device: torch.device) -> Batch:
    sizes = [(each.height, each.width) for each in pictures]
    images = torch.zeros((len(pictures), *bucket_of(*sizes[0]), 3), dtype=torch.uint8)
    for slot, each in zip(images, pictures, strict=True):
        slot[: each.height, : each.width] = torch.from_numpy(each.pixels)
    return Batch(images=images.permute(0, 3, 1, 2).to(device), sizes=sizes)


def _models(batches: Sequence[Batch]) -> Figures:
    """Measure the stand-in for models at each speed, by itself (`model`), and the built-in model."""
    figures = {}
    for name, milliseconds in {**MILLISECONDS, "model": 0.0}.items():
        set_milliseconds(Path(os.environ["BENCH_MILLISECONDS"]), milliseconds)
        figures[name] = _model(Slow(), batches, {})
    graded = load_pipeline(CardShelf(), "reference-grade", batches[0].images.device)
    figures["reference-grade"] = _model(graded, batches, {"strength": 1.0, "keep_white": True})
    return figures


def _model(pipeline: Pipeline, batches: Sequence[Batch], parameters: Parameters) -> dict[str, float]:
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
