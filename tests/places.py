"""Places to put objects in tests: an empty folder in each kind of storage, with a short way to use it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest

from jobs.locations import Location
from jobs.storage import Storage, Storages
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JPEG = "image/jpeg"
MOTO = "moto (shape of the API only)"


@dataclass(frozen=True)
class Place:
    """A folder in a storage, and a short way to use it."""

    kind: str
    storages: Storages
    location: Location

    @property
    def storage(self) -> Storage:
        return self.storages.at(self.location)

    def child(self, relative: str) -> Place:
        return Place(self.kind, self.storages, self.location.child(relative))

    def key(self, relative: str) -> str:
        return self.location.key + relative

    def write(self, relative: str, data: bytes = b"photo") -> str:
        self.storage.write(self.key(relative), data, media_type=JPEG)
        return self.key(relative)

    def read(self, relative: str) -> bytes:
        return self.storage.read(self.key(relative), max_bytes=1 << 20)

    def listed(self, prefix: str = "", *, after: str | None = None) -> list[str]:
        """The keys below the place's folder, without the folder."""
        last = None if after is None else self.key(after)
        found = self.storage.list(self.key(prefix), after=last)
        return [info.key.removeprefix(self.location.key) for info in found]


@contextlib.contextmanager
def storages_for(endpoint_url: str, *, secret_key: str = servers.S3.secret_key) -> Iterator[Storages]:
    """Storages on a server, with credentials found as boto finds them, in the environment."""
    with contextlib.closing(Storages(s3_endpoint_url=endpoint_url)) as storages:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", servers.S3.access_key)
            patch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)
            patch.setenv("AWS_DEFAULT_REGION", servers.S3.region)
            storages.at(Location.parse("s3://any-bucket/"))  # makes the client, which looks for credentials
        yield storages


@pytest.fixture(scope="session")
def seaweed_place(s3_server: servers.S3) -> Iterator[Place]:
    with storages_for(s3_server.endpoint_url) as storages:
        yield Place("seaweed", storages, Location.parse(f"s3://{s3_server.make_bucket()}/"))


@pytest.fixture(scope="session")
def moto_place() -> Iterator[Place]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    session = boto3.session.Session("any", "any", region_name=servers.S3.region)
    with contextlib.closing(session.client("s3", endpoint_url=url)) as client:
        client.create_bucket(Bucket="moto-bucket")
    with storages_for(url) as storages:
        yield Place(MOTO, storages, Location.parse("s3://moto-bucket/"))
    server.stop()


@pytest.fixture(params=["folder", "seaweed", MOTO])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty folder in each kind of storage."""
    if request.param == "folder":
        return Place("folder", Storages(), Location.parse(f"file://{tmp_path}/photos/"))
    server: Place = request.getfixturevalue("seaweed_place" if request.param == "seaweed" else "moto_place")
    return server.child(f"{tmp_path.name}/")
