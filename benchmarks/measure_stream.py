"""Runs one stream over a catalogue: this system's, as a job of its API, or a peer's program."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.process_tree import cpu_seconds, peak_mb
from benchmarks.stack import BenchWorker, drop_dead
from benchmarks.stream_peers import StreamPeer
from benchmarks.stream_pictures import draw
from benchmarks.stream_place import CATALOGUE, Place, Streamed, StreamFailed
from jobs.database import Database
from migrations import upgrade
from restyle.fleet import shared
from tests.system.processes import Api, Settings

STYLE = "look"


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The batches of one run."""

    pictures: float  # in the mean
    padding_waste: float  # padded pixels ÷ real ones − 1


class Ours:
    """Restyle: an API and its workers."""

    def __init__(self, place: Place, api: Api, workers: Sequence[BenchWorker]) -> None:
        self._place, self._api, self._workers = place, api, workers
        self._runs = 0

    def peak_mb(self) -> float:
        """Most memory that each worker with its children had so far, all of them together, in MiB."""
        return peak_mb([worker.pid for worker in self._workers])

    def run(self, count: int, recipe: dict[str, Any], *, milliseconds: float, source: str = CATALOGUE) -> Streamed:
        """Run a job over a catalogue of so many pictures, on a device that takes so long for each."""
        self._place.take(milliseconds)
        self._runs += 1
        output = f"ours-{self._workers[0].folder.name}-{self._runs}/"
        self._before = len(self._place.lines())
        job_id = self._api.enqueue(
            {
                "recipe": recipe,
                "source": {"type": "prefix", "url": f"s3://{self._place.bucket}/{source}"},
                "output_url": f"s3://{self._place.bucket}/{output}",
            }
        )
        streamed = self._place.watch(count, self._before, self._cpu_seconds, self._failure)
        job = self._api.wait_until_ended(job_id)
        if job["outcome"] != "succeeded":
            raise StreamFailed(f"the job ended as {job['outcome']}: {job['counts']}")
        self._place.check(output, source)
        return streamed

    def batches(self) -> Batches:
        """Return what the batches of the last run were like."""
        said: dict[str, list[int]] = {"N": [], "P": [], "R": []}
        for line in self._place.lines()[self._before :]:
            if line.letter in said:
                said[line.letter].append(line.item)
        return Batches(pictures=sum(said["N"]) / len(said["N"]), padding_waste=sum(said["P"]) / sum(said["R"]) - 1)

    def _cpu_seconds(self) -> float:
        """Processor time of the whole system: workers, API, and servers, which have these cores too."""
        return cpu_seconds(self._place.server_pids())

    def _failure(self) -> str | None:
        ended = [worker for worker in self._workers if not worker.running]
        return f"a worker has ended:\n{ended[0].log()[-2000:]}" if ended else None


@contextlib.contextmanager
def ours(place: Place, program: str, *, workers: int) -> Iterator[Ours]:
    """Start Restyle, with a program that runs each of so many workers, which share the processor as a fleet does."""
    database_url = place.new_database()
    database = Database(database_url)
    upgrade(database.engine)
    database.close()
    environment = place.environment()
    settings = Settings(
        database_url=database_url,
        broker_url=place.broker_url,
        storage_url=f"s3://{place.bucket}/service",
        allowed_prefixes=f"s3://{place.bucket}/",
        extra=environment
        | shared(workers, environment)
        | {"RESTYLE_S3_ENDPOINT_URL": environment["BENCH_S3"], "RESTYLE_S3_REGION": environment["AWS_DEFAULT_REGION"]},
    )
    api, fleet = Api(place.folder, settings), [BenchWorker(place.folder, settings, program) for _ in range(workers)]
    with contextlib.ExitStack() as started, ThreadPoolExecutor(1 + workers) as together:
        started.callback(api.client.close)
        for process in (api, *fleet):
            started.callback(process.kill)
        list(together.map(lambda process: process.start(), (api, *fleet)))
        api.add_style(STYLE, draw(7, (600, 400), "JPEG").data)
        yield Ours(place, api, fleet)


def measure_peer(peer: StreamPeer, place: Place, count: int, *, source: str, milliseconds: float) -> Streamed:
    """Run a peer over a catalogue of so many pictures.

    Raises:
        StreamFailed: it ended too early, or lost pictures.
    """
    place.take(milliseconds)
    output = f"{peer.name}-{milliseconds:g}-{len(place.lines())}/"
    log = place.folder / f"{peer.name}.log"
    before = len(place.lines())
    with log.open("wb") as written:
        process = subprocess.Popen(
            peer.command(),
            env=place.environment(source=source, output=output),
            stdout=written,
            stderr=written,
            cwd=place.folder,
            start_new_session=True,
        )
    try:
        streamed = place.watch(count, before, lambda: cpu_seconds([process.pid]), lambda: _ended(process, log))
    finally:
        drop_dead([process])
    place.check(output, source)
    return streamed


def _ended(process: subprocess.Popen[bytes], log: Path) -> str | None:
    if process.poll() is None:
        return None
    return f"ended with status {process.returncode}: {log.read_text(errors='replace').strip().splitlines()[-1:]}"
