"""R9: a network that fails between any two of us: with a reset, or in silence, as if the other side had vanished."""

from __future__ import annotations

import dataclasses
import functools
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from jobs.doorbell import Doorbell
from jobs.locations import Location
from jobs.records import JobRecord
from jobs.states import ItemState
from tests import pictures
from tests.chaos.fleet import WAIT_SECONDS, Fleet, wait_until
from tests.chaos.ground import DOSE, LEASE_SECONDS, SIZE_PX, Ground
from tests.chaos.proxy import Proxy, database_behind_a_proxy
from tests.servers import S3
from tests.system.processes import Api

pytestmark = pytest.mark.chaos

SHARD_ITEMS = 128
ITEMS = 2 * SHARD_ITEMS
FEW_ITEMS = 16
CLIENTS = 4
SLOWLY = {"CHAOS_ITEM_SECONDS": "0.01"}
FAULTS = pytest.mark.parametrize("fault", ["cut", "forget"])
NOTICED_SECONDS = 15
GENEROUS = 2  # machines that do much else
SILENT_SECONDS = 1.0  # of each fault; what was forgotten stays so


@pytest.fixture
def ground(postgres_ground: Ground) -> Ground:
    return postgres_ground


def fail(proxy: Proxy, fault: str, seconds: float = SILENT_SECONDS) -> int:
    """Let a network fail for a while. Return when it began, in nanoseconds of the facts' clock."""
    began = time.monotonic_ns()
    getattr(proxy, fault)()
    time.sleep(seconds)  # the length of the fault
    proxy.mend()
    return began


def seconds_until(
    fleet: Fleet, event: str, since: int, keep_busy: Callable[[], None] = lambda: None, **members: Any
) -> float:
    """Return how long after a fault that began at `since` somebody did something, once it was over."""
    over = since + int(SILENT_SECONDS * 1e9)

    def done() -> list[int]:
        return [fact["at"] for fact in fleet.facts(event, **members) if fact["at"] > over]

    def back() -> bool:
        keep_busy()
        return bool(done())

    wait_until(back, f"{event} again: {fleet.workers}")
    return (min(done()) - since) / 1e9


@pytest.mark.parametrize("fault", ["cut", "silence", "forget"])
def test_r9_a_worker_cut_off_from_the_database_records_nothing_twice(
    ground: Ground, chance: random.Random, fault: str
) -> None:
    """One worker is behind a network that fails for shorter and longer than its lease; another is not."""
    source = ground.catalogue("calm-512", 2 * ITEMS)
    fleet = ground.fleet()
    with database_behind_a_proxy(ground.settings.database_url) as (proxy, url):
        fleet.start(1, **SLOWLY)
        [behind] = fleet.start(1, RESTYLE_DATABASE_URL=url, **SLOWLY)
        jobs = [ground.enqueue(source)]
        try:
            for _ in range(DOSE(1, 100)):
                ground.wait_until_begun(fleet, 30, jobs, source)
                began = fail(proxy, fault, chance.uniform(SILENT_SECONDS, 2 * LEASE_SECONDS))
                busy = functools.partial(ground.wait_until_begun, fleet, 0, jobs, source)
                seconds = max(
                    seconds_until(fleet, event, began, busy, pid=behind.pid) for event in ("claimed", "settled")
                )
                print(f"{fault}: the worker claimed and recorded again {seconds:.1f} s after it began")
                assert seconds < GENEROUS * NOTICED_SECONDS
            for job_id in jobs:
                assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: 2 * ITEMS}
            assert len(fleet.living) == 2
        finally:
            proxy.mend()
            fleet.kill()


@FAULTS
def test_r9_a_worker_cut_off_from_the_broker_goes_on_and_hears_doorbells_again(ground: Ground, fault: str) -> None:
    """It polls so rarely that only a doorbell can wake it in time."""
    source = ground.catalogue("calm-256", ITEMS)
    fleet, doorbell = ground.fleet(), Doorbell(ground.broker.url)
    with Proxy(str(ground.broker.socket_path)) as proxy:
        url = f"redis://{proxy.host_and_port}/0"
        fleet.start(1, RESTYLE_BROKER_URL=url, RESTYLE_POLL_SECONDS="60", **SLOWLY)
        try:
            for _ in range(DOSE(1, 50)):
                first = ground.enqueue(source)
                ground.wait_until_begun(fleet, 20, [first], source)
                fail(proxy, fault)
                assert ground.settle_up(fleet, first) == {ItemState.SUCCEEDED: ITEMS}
                began = fail(proxy, fault)
                second = ground.enqueue(source)
                seconds = seconds_until(fleet, "claimed", began, lambda: ring(doorbell), job=second)
                assert ground.settle_up(fleet, second) == {ItemState.SUCCEEDED: ITEMS}
                print(f"{fault}: the worker heard a doorbell {seconds:.1f} s after it began")
                assert seconds < GENEROUS * NOTICED_SECONDS
            assert fleet.count("started") == fleet.count("claimed") * SHARD_ITEMS, "an item was begun again"
        finally:
            fleet.kill()
            doorbell.close()


def ring(doorbell: Doorbell) -> None:
    doorbell.ring("plan", "gpu")
    doorbell.ring("work", "gpu")
    time.sleep(0.2)  # between two rings


@FAULTS
def test_r9_an_api_cut_off_from_the_database_answers_in_time_and_makes_one_job_per_key(
    ground: Ground, fleet: Fleet, fault: str
) -> None:
    request = ground.request(ground.catalogue("calm-16", FEW_ITEMS))
    fleet.start(1)
    with database_behind_a_proxy(ground.settings.database_url) as (proxy, url):
        api = Api(ground.parent, dataclasses.replace(ground.settings, database_url=url), ground.nursery)
        api.start()
        try:
            for _ in range(DOSE(1, 50)):
                check_api(ground, fleet, api, request, lambda: fail(proxy, fault), fault)
        finally:
            api.kill()
            api.client.close()


def check_api(
    ground: Ground, fleet: Fleet, api: Api, request: dict[str, Any], break_it: Callable[[], object], fault: str
) -> None:
    """Send requests, each under a key, from before a fault until after it."""
    longest: list[float] = []
    jobs: dict[str, str] = {}
    failures: list[BaseException] = []
    begun = threading.Barrier(CLIENTS + 1)

    def send(count: int = 2) -> None:
        try:
            with httpx.Client(base_url=api.client.base_url, timeout=WAIT_SECONDS) as client:
                client.get("/v1/jobs").raise_for_status()  # opens a connection to the database
                begun.wait()
                for _ in range(count):
                    key = str(uuid.uuid4())
                    seconds, jobs[key] = until_accepted(client, request, key)
                    longest.append(seconds)
        except BaseException as error:  # noqa: BLE001  # told to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=send) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    begun.wait()
    break_it()
    for thread in threads:
        thread.join()
    assert not failures, failures
    print(f"{fault}: the longest answer took {max(longest):.1f} s")
    assert max(longest) < GENEROUS * NOTICED_SECONDS
    with ground.database.reading() as session:
        assert session.scalar(select(func.count()).where(JobRecord.idempotency_key.in_(jobs))) == len(jobs)
    for job_id in jobs.values():
        assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: FEW_ITEMS}


def until_accepted(client: httpx.Client, request: dict[str, Any], key: str) -> tuple[float, str]:
    """Send a request, again and again while the service says that it may. Return the longest try, and the job."""
    longest = 0.0
    while True:
        sent = time.monotonic()
        answer = client.post("/v1/jobs", json=request, headers={"Idempotency-Key": key})
        longest = max(longest, time.monotonic() - sent)
        if answer.status_code == 202:
            return longest, answer.json()["id"]
        assert answer.status_code == 503, answer.text
        assert answer.headers["Retry-After"]
        time.sleep(0.1)  # a client's pause


class S3Ground(Ground):
    """The same ground with the pictures in S3."""

    def __init__(self, ground: Ground, server: S3) -> None:
        shop, own = server.make_bucket(), server.make_bucket()
        settings = dataclasses.replace(
            ground.settings,
            storage_url=f"s3://{own}/restyle",
            allowed_prefixes=f"s3://{shop}/",
            extra={
                **ground.settings.extra,
                "AWS_ACCESS_KEY_ID": server.access_key,
                "AWS_SECRET_ACCESS_KEY": server.secret_key,
                "RESTYLE_S3_ENDPOINT_URL": server.endpoint_url,
                "RESTYLE_S3_REGION": server.region,
            },
        )
        folder = ground.folder / shop
        folder.mkdir()
        super().__init__(folder, settings, ground.broker, ground.nursery, ground.parent)
        self.calm = ground.calm
        self._shop = shop
        self._client = server.client()

    def close(self) -> None:
        super().close()
        self._client.close()

    def catalogue(self, name: str, count: int, *, poison: tuple[tuple[int, str], ...] = ()) -> str:
        for number in range(count):
            data = pictures.jpeg(number, width=SIZE_PX, height=SIZE_PX)
            self._client.put_object(Bucket=self._shop, Key=f"{name}/{number:05d}.jpg", Body=data)
        return f"s3://{self._shop}/{name}/"

    def objects(self, job: dict[str, Any]) -> dict[str, bytes]:
        output = Location.parse(job["output_url"]).as_prefix()
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=output.root, Prefix=output.key)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        read = {key: self._client.get_object(Bucket=output.root, Key=key)["Body"].read() for key in keys}
        return {key.removeprefix(output.key): data for key, data in read.items()}


@pytest.fixture(scope="module")
def s3_ground(postgres_ground: Ground, s3_server: S3) -> Iterator[S3Ground]:
    made = S3Ground(postgres_ground, s3_server)
    made.open()
    yield made
    made.close()


@FAULTS
def test_r9_a_worker_cut_off_from_s3_loses_nothing_and_writes_equal_bytes(s3_ground: S3Ground, fault: str) -> None:
    ground, fleet = s3_ground, s3_ground.fleet()
    source = ground.catalogue("calm-128", SHARD_ITEMS)
    host, _, port = ground.settings.extra["RESTYLE_S3_ENDPOINT_URL"].removeprefix("http://").partition(":")
    with Proxy((host, int(port))) as proxy:
        fleet.start(1, RESTYLE_S3_ENDPOINT_URL=f"http://{proxy.host_and_port}", **SLOWLY)
        try:
            for _ in range(DOSE(1, 50)):
                job_id = ground.enqueue(source)
                ground.wait_until_begun(fleet, 30, [job_id], source)
                fail(proxy, fault)
                assert ground.settle_up(fleet, job_id) == {ItemState.SUCCEEDED: SHARD_ITEMS}
                begun = {fact["item"]: fact["at"] for fact in fleet.facts("started", job=job_id)}
                written = {fact["item"]: fact["at"] for fact in fleet.facts("written", job=job_id)}
                seconds = max(written[item] - begun[item] for item in written) / 1e9
                print(f"{fault}: the slowest picture took {seconds:.1f} s")
                assert seconds < GENEROUS * NOTICED_SECONDS
        finally:
            fleet.kill()
