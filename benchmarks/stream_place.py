"""What a stream is measured on: real servers, a catalogue in S3, and the files by which processes tell what they do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from benchmarks.stack import DurablePostgres, environment
from benchmarks.stream_device import set_milliseconds
from benchmarks.stream_pictures import File, upload
from benchmarks.witnessed import Line, Witness
from tests.servers import S3, Broker

STARTED = 16  # effects before the window: two batches, in which everybody opens connections and fills queues
LOOK_SECONDS = 0.05
SAMPLE_SECONDS = 1.0  # between two looks at all processes, which take a while themselves
STALL_SECONDS = 60.0  # without any effect
CATALOGUE, PEERS, LARGE = "catalogue/", "peers/", "large/"


class StreamFailed(Exception):
    """A stream could not be measured; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """What one run over a catalogue came to, from its sixteenth effect to its last."""

    per_second: float
    cores_used: float  # processor time ÷ time, of all processes that were asked for
    cpu_ms: float  # processor time of a picture

    @classmethod
    def of(cls, times: Sequence[float], samples: Sequence[Sample]) -> Streamed:
        """Make it of the moments of all effects, more than sixteen, and of samples of processor time."""
        moments = sorted(times)
        seconds = moments[-1] - moments[STARTED - 1]
        first = samples[0]
        last = max(samples, key=lambda sample: sample.cpu_seconds)  # what has ended and is gone takes its time along
        cpu = last.cpu_seconds - first.cpu_seconds
        return cls(
            per_second=(len(moments) - STARTED) / seconds,
            cores_used=cpu / max(last.at - first.at, LOOK_SECONDS),
            cpu_ms=1000 * cpu / max(last.effects - first.effects, 1),
        )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A look while a stream runs."""

    at: float
    effects: int
    cpu_seconds: float


class Place:
    """The servers and files of a run. As a context manager they are there inside the block."""

    def __init__(self, folder: Path, *, cuda: bool) -> None:
        self.folder = folder
        self.cuda = cuda
        self._s3, self._broker, self._postgres = S3(folder), Broker(folder), DurablePostgres(folder)
        self._witness, self._milliseconds = Witness(folder / "witness"), folder / "milliseconds"
        self.take(0)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as started, ThreadPoolExecutor(3) as together:
            for server in (self._s3, self._broker, self._postgres):
                started.callback(server.kill)
            list(together.map(lambda server: server.start(), (self._s3, self._broker, self._postgres)))
            self._stop = started.pop_all().close
        self.bucket = self._s3.make_bucket()
        self.client = self._s3.client()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._stop()

    @property
    def broker_url(self) -> str:
        return self._broker.url

    def new_database(self) -> str:
        """Make an empty database; return its URL."""
        return self._postgres.url(self._postgres.create_database())

    def take(self, milliseconds: float) -> None:
        """Let the device take so long for a picture from now on."""
        set_milliseconds(self._milliseconds, milliseconds)

    def put(self, folder: str, files: Sequence[File]) -> None:
        """Put pictures into S3."""
        upload(self.client, self.bucket, folder, files)

    def environment(self, *, source: str = CATALOGUE, output: str = "") -> dict[str, str]:
        """Return what every process needs to know."""
        return environment(
            AWS_ACCESS_KEY_ID=S3.access_key,
            AWS_SECRET_ACCESS_KEY=S3.secret_key,
            AWS_DEFAULT_REGION=S3.region,
            BENCH_S3=self._s3.endpoint_url,
            BENCH_BUCKET=self.bucket,
            BENCH_SOURCE=source,
            BENCH_OUTPUT=output,
            BENCH_WITNESS=str(self._witness.path),
            BENCH_MILLISECONDS=str(self._milliseconds),
            BENCH_URL=f"unix://{self._broker.socket_path}?db=0",
            BENCH_CUDA="1" if self.cuda else "",
        )

    def server_pids(self) -> list[int]:
        """Return the process ids of everything that runs here but for peers."""
        return [int(path.read_text()) for path in self.folder.glob("*.pid")]

    def lines(self) -> list[Line]:
        """Return all that the witness was told so far."""
        return self._witness.lines()

    def watch(
        self, count: int, before: int, cpu_seconds: Callable[[], float], failure: Callable[[], str | None]
    ) -> Streamed:
        """Wait until so many items have taken effect; what the witness was told `before` does not count.

        Raises:
            StreamFailed: nothing happens any more, or `failure` says why nothing will.
        """
        samples: list[Sample] = []
        moments: dict[int, float] = {}
        looked_at, sample_at = before, 0.0
        progress = time.monotonic()
        while True:
            ended = failure()  # asked first: what ended has said all that it will
            seen = len(moments)
            told = self.lines()
            for line in told[looked_at:]:
                if line.letter == "E":
                    moments.setdefault(line.item, line.at)
            looked_at = len(told)
            if len(moments) == count or (len(moments) >= STARTED and time.time() >= sample_at):
                samples.append(Sample(at=time.time(), effects=len(moments), cpu_seconds=cpu_seconds()))
                sample_at = samples[-1].at + SAMPLE_SECONDS
            if len(moments) == count:
                return Streamed.of(list(moments.values()), samples)
            if len(moments) > seen:
                progress = time.monotonic()
            if ended is not None:
                raise StreamFailed(f"{count - len(moments)} of {count} pictures lost: {ended}")
            if time.monotonic() - progress > STALL_SECONDS:
                raise StreamFailed(f"{count - len(moments)} of {count} pictures lost: stalled")
            time.sleep(LOOK_SECONDS)

    def check(self, output: str, source: str = CATALOGUE) -> None:
        """Raise StreamFailed unless every picture of the catalogue has its own in the output."""
        made = {PurePosixPath(key).stem for key, size in self._list(output) if key.endswith(".jpg") and size}
        lost = {PurePosixPath(key).stem for key, _ in self._list(source)} - made
        if lost:
            raise StreamFailed(f"{len(lost)} pictures lost, {min(lost)} among them")

    def _list(self, folder: str) -> list[tuple[str, int]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder)
        return [(each["Key"], each["Size"]) for page in pages for each in page.get("Contents", [])]
