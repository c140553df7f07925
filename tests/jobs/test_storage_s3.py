from __future__ import annotations

import contextlib
import http.server
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3.exceptions

from jobs.errors import AccessDenied, ObjectMissing, ObjectTooLarge, StorageError
from jobs.locations import Location
from jobs.storage import Storage, Storages
from jobs.storage_s3 import S3Storage
from tests import servers
from tests.places import JPEG, Place, storages_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bucket(seaweed_place: Place, tmp_path: Path) -> Place:
    return Place(seaweed_place.kind, seaweed_place.storages, seaweed_place.location.child(f"{tmp_path.name}/"))


def test_a_wrong_secret_is_denied_for_good(bucket: Place, s3_server: servers.S3) -> None:
    key = bucket.write("a.jpg")
    with storages_for(s3_server.endpoint_url, secret_key="wrong") as storages:
        storage = storages.at(bucket.location)
        for attempt in (
            lambda: storage.read(key, max_bytes=10),
            lambda: storage.stat(key),
            lambda: storage.write(key, b"x", media_type=JPEG),
            lambda: list(storage.list(bucket.location.key)),
            lambda: storage.delete(key),
        ):
            with pytest.raises(AccessDenied) as denied:
                attempt()
            assert not denied.value.retryable
    assert bucket.read("a.jpg") == b"photo"


def test_dots_are_not_left_to_the_server_to_resolve(bucket: Place) -> None:
    bucket.write("secret.jpg")
    shoes = bucket.storages.at(bucket.location.child("shoes/"))
    for key in ("shoes/../secret.jpg", "shoes/./../secret.jpg"):
        with pytest.raises(AccessDenied, match=r"\. or \.\."):
            shoes.read(bucket.key(key), max_bytes=10)


def test_missing_credentials_are_said(s3_server: servers.S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with (
        contextlib.closing(Storages(s3_endpoint_url=s3_server.endpoint_url)) as storages,
        pytest.raises(AccessDenied, match="set AWS_ACCESS_KEY_ID"),
    ):
        storages.at(Location.parse("s3://shop/")).stat("a.jpg")


def test_a_missing_bucket_is_said(bucket: Place) -> None:
    nowhere = bucket.storages.at(Location.parse("s3://no-such-bucket/"))
    for attempt in (
        lambda: nowhere.read("a.jpg", max_bytes=10),
        lambda: nowhere.write("a.jpg", b"x", media_type=JPEG),
        lambda: list(nowhere.list("")),
    ):
        with pytest.raises(ObjectMissing, match="there is no bucket 'no-such-bucket'"):
            attempt()


def test_a_media_type_is_kept(bucket: Place, s3_server: servers.S3) -> None:
    key = bucket.write("a.jpg")
    with contextlib.closing(s3_server.client()) as client:
        assert client.head_object(Bucket=bucket.location.root, Key=key)["ContentType"] == JPEG


def test_the_folder_markers_of_consoles_are_not_listed(bucket: Place, s3_server: servers.S3) -> None:
    bucket.write("shoes/a.jpg")
    with contextlib.closing(s3_server.client()) as client:
        client.put_object(Bucket=bucket.location.root, Key=bucket.key("shoes/"), Body=b"")
    assert bucket.listed() == ["shoes/a.jpg"]


def test_an_object_that_changes_while_it_is_streamed_is_noticed(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.storage_s3.RANGE_BYTES", 1000)
    key = bucket.write("manifest.csv", b"a" * 3000)
    with bucket.storage.open(key) as stream:
        assert stream.read(1000) == b"a" * 1000
        bucket.write("manifest.csv", b"b" * 3000)
        with pytest.raises(StorageError, match="changed while it was read") as changed:
            stream.read(1000)
    assert changed.value.retryable


def test_a_refused_connection_is_worth_another_try_and_says_so_soon() -> None:
    [port] = servers.free_ports(1)
    with storages_for(f"http://127.0.0.1:{port}") as storages:
        started = time.monotonic()
        with pytest.raises(StorageError, match="did not answer") as failed:
            storages.at(Location.parse("s3://shop/")).read("a.jpg", max_bytes=10)
        assert time.monotonic() - started < 10
    assert failed.value.retryable


class Faulty(http.server.BaseHTTPRequestHandler):
    """A server that speaks S3 badly, as the key asks."""

    def do_GET(self) -> None:
        fault = self.path.rpartition("/")[2]
        if fault == "cut":
            self.answer(200, b"half", size=8)
        elif fault == "stall":
            self.answer(200, b"half", size=8, hold=True)
        elif fault == "crawl":
            self.answer(200, b"", size=10**6)
            with contextlib.suppress(OSError):
                while not self.server.hold.wait(0.02):  # type: ignore[attr-defined]
                    self.wfile.write(b"x")
        elif fault == "huge":
            self.answer(200, b"", size=10**12)
        elif fault == "silent":
            self.server.hold.wait()  # type: ignore[attr-defined]
        else:
            status, code = fault.split("-")
            self.answer(int(status), f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def answer(self, status: int, body: bytes, *, size: int | None = None, hold: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.end_headers()
        self.wfile.write(body)
        if hold:
            self.server.hold.wait()  # type: ignore[attr-defined]
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def faulty() -> Iterator[Storage]:
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faulty) as server,
        contextlib.ExitStack() as stack,
    ):
        server.hold = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("jobs.s3_client.ATTEMPTS", 1)
            patch.setattr("jobs.s3_client.READ_SECONDS", 2.0)  # every fault but two must be answered within it
            storages = stack.enter_context(storages_for(f"http://127.0.0.1:{server.server_port}"))
        yield storages.at(Location.parse("s3://shop/"))
        server.hold.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "fault",
    [
        "503-SlowDown",
        "500-InternalError",
        "429-TooManyRequests",
        "400-RequestTimeout",
        "400-ExpiredToken",
        "403-RequestTimeTooSkewed",
        "412-PreconditionFailed",
        "cut",
        "stall",
        "silent",
    ],
)
def test_what_may_pass_is_worth_another_try(faulty: Storage, fault: str) -> None:
    with pytest.raises(StorageError, match="'shop'") as failed:
        faulty.read(fault, max_bytes=100)
    assert failed.value.retryable


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("404-NoSuchKey", ObjectMissing),
        ("404-NoSuchBucket", ObjectMissing),
        ("400-KeyTooLongError", ObjectMissing),
        ("403-AccessDenied", AccessDenied),
        ("403-InvalidAccessKeyId", AccessDenied),
        ("403-InvalidObjectState", AccessDenied),  # archived
        ("401-Unauthorized", AccessDenied),
    ],
)
def test_what_stays_is_not(faulty: Storage, fault: str, error: type[StorageError]) -> None:
    with pytest.raises(error) as failed:
        faulty.read(fault, max_bytes=100)
    assert not failed.value.retryable


def test_a_broken_line_to_the_server_is_worth_another_try(faulty: Storage) -> None:
    assert isinstance(faulty, S3Storage)
    # What boto lets through from below it when encryption fails in the middle of a body.
    with pytest.raises(StorageError, match="did not answer") as failed, faulty._call("a.jpg"):
        raise urllib3.exceptions.SSLError("bad record")
    assert failed.value.retryable


def test_a_server_that_crawls_counts_as_one_that_does_not_answer(
    faulty: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.storage_s3.OBJECT_SECONDS", 0.5)
    monkeypatch.setattr("jobs.storage_s3.CHUNK_BYTES", 5)
    with pytest.raises(StorageError, match="not read within") as failed:
        faulty.read("crawl", max_bytes=10**6)
    assert failed.value.retryable


def test_a_body_above_the_limit_is_not_waited_for(faulty: Storage) -> None:
    with pytest.raises(ObjectTooLarge, match="has 1000000000000 bytes"):
        faulty.read("huge", max_bytes=100)


def test_one_client_serves_many_threads(bucket: Place) -> None:
    keys = [f"{number}.jpg" for number in range(40)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: bucket.write(key, key.encode()), keys))
        assert list(pool.map(bucket.read, keys)) == [key.encode() for key in keys]
