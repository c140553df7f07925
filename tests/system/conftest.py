"""Whole systems for tests: grown (Postgres, S3) and embedded (SQLite, a folder)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.storage import Storages
from tests.nursery import Nursery
from tests.servers import S3, Broker
from tests.system.processes import Api, Settings, Worker


class System:
    """An API, as many workers as a test starts, and the storage that they share."""

    def __init__(
        self, folder: Path, settings: Settings, broker: Broker, nursery: Nursery, put: Callable[[str, bytes], str]
    ) -> None:
        self._folder = folder
        self._nursery = nursery
        self.settings = settings
        self.broker = broker
        self._put = put
        self.api = Api(folder, settings, nursery)
        self.workers: list[Worker] = []
        self.storages = Storages(
            s3_endpoint_url=settings.extra.get("RESTYLE_S3_ENDPOINT_URL"),
            s3_region=settings.extra.get("RESTYLE_S3_REGION"),
        )

    def put(self, key: str, data: bytes) -> str:
        """Store an object in the catalogue; return its URL."""
        return self._put(key, data)

    @property
    def catalogue_url(self) -> str:
        return self.settings.allowed_prefixes + "catalogue/"

    def anew(self, **extra: str) -> System:
        """Return the same places with other settings, and an API of its own; this one's ends."""
        self.stop()
        found = System(self._folder, self._with(extra), self.broker, self._nursery, self._put)
        found.api.start()
        return found

    def start_worker(self, **extra: str) -> Worker:
        settings = self._with(extra)
        worker = Worker(self._folder, settings, self._nursery)
        worker.start()
        self.workers.append(worker)
        return worker

    def _with(self, extra: dict[str, str]) -> Settings:
        return dataclasses.replace(self.settings, extra={**self.settings.extra, **extra})

    def stop(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.api.kill()
        self.api.client.close()


EXTRA = {"RESTYLE_LEASE_SECONDS": "3", "RESTYLE_POLL_SECONDS": "0.2"}


@pytest.fixture
def broker(servers_folder: Path) -> Iterator[Broker]:
    """A broker of the test's own: some tests kill it."""
    server = Broker(servers_folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def embedded(
    servers_folder: Path, broker: Broker, nursery: Nursery, sqlite_url: str, tmp_path: Path
) -> Iterator[System]:
    """SQLite, and a folder as storage."""
    (tmp_path / "shop").mkdir()

    def put(key: str, data: bytes) -> str:
        path = tmp_path / "shop" / "catalogue" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"file://{path}"

    settings = Settings(
        database_url=sqlite_url,
        broker_url=broker.url,
        storage_url=f"file://{tmp_path / 'storage'}",
        allowed_prefixes=f"file://{tmp_path / 'shop'}/",
        extra=EXTRA,
    )
    system = System(servers_folder, settings, broker, nursery, put)
    system.api.start()
    yield system
    system.stop()


@pytest.fixture
def grown(
    servers_folder: Path,
    broker: Broker,
    nursery: Nursery,
    postgres_url: str,
    s3_server: S3,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[System]:
    """Postgres, and an S3 server as storage."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    shop, own = s3_server.make_bucket(), s3_server.make_bucket()
    with contextlib.closing(s3_server.client()) as client:

        def put(key: str, data: bytes) -> str:
            client.put_object(Bucket=shop, Key=f"catalogue/{key}", Body=data)
            return f"s3://{shop}/catalogue/{key}"

        settings = Settings(
            database_url=postgres_url,
            broker_url=broker.url,
            storage_url=f"s3://{own}/restyle",
            allowed_prefixes=f"s3://{shop}/",
            extra={
                **EXTRA,
                "RESTYLE_S3_ENDPOINT_URL": s3_server.endpoint_url,
                "RESTYLE_S3_REGION": s3_server.region,
            },
        )
        system = System(servers_folder, settings, broker, nursery, put)
        system.api.start()
        yield system
        system.stop()


@pytest.fixture(params=["embedded", "grown"])
def system(request: pytest.FixtureRequest) -> System:
    found: System = request.getfixturevalue(request.param)
    return found
