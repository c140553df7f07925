"""What happens to bytes between us and S3: a proxy damages them, or says that it is too much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from jobs.errors import StorageError, Superseded
from jobs.storage import Storages
from tests.places import JPEG, MOTO, Place, storages_for
from tests.s3_proxy import S3Proxy, s3_proxy

T = TypeVar("T")
PHOTO = bytes(range(256)) * 40


@pytest.fixture(params=["seaweed", MOTO])
def server_url(request: pytest.FixtureRequest) -> tuple[str, Place]:
    place: Place = request.getfixturevalue("seaweed_place" if request.param == "seaweed" else "moto_place")
    return str(place.storages._endpoint_url), place


@pytest.fixture
def proxy(server_url: tuple[str, Place]) -> Iterator[S3Proxy]:
    with s3_proxy(server_url[0]) as proxy:
        yield proxy


@pytest.fixture
def storages(proxy: S3Proxy) -> Iterator[Storages]:
    with storages_for(proxy.endpoint_url) as storages:
        yield storages


@pytest.fixture
def place(server_url: tuple[str, Place], storages: Storages, tmp_path: Path) -> Place:
    """A folder of the server, behind the proxy."""
    return Place("proxied", storages, server_url[1].location.child(f"{tmp_path.name}/"))


def until_it_works(call: Callable[[], T]) -> T:
    """Call again while storage does not answer, as workers do."""
    for _ in range(20):
        try:
            return call()
        except StorageError as error:
            if not error.retryable:
                raise
    raise AssertionError("it never works")


def put_without_checksum(place: Place, relative: str, data: bytes) -> None:
    """As tools wrote objects before checksums: the server keeps none, and the tag is all there is."""
    client = place.storages._s3().client
    client.meta.config.request_checksum_calculation = "when_required"
    client.put_object(Bucket=place.location.root, Key=place.key(relative), Body=data)
    client.meta.config.request_checksum_calculation = "when_supported"


def test_what_is_damaged_while_it_is_read_is_never_handed_over(place: Place, proxy: S3Proxy) -> None:
    place.write("a.jpg", PHOTO)
    proxy.damaged_gets = 1
    assert until_it_works(lambda: place.read("a.jpg")) == PHOTO
    assert proxy.damaged_gets == 0, "the damage was done"


def test_an_object_without_a_checksum_is_checked_by_its_tag(place: Place, proxy: S3Proxy) -> None:
    put_without_checksum(place, "a.jpg", PHOTO)
    proxy.damaged_gets = 1
    assert place.read("a.jpg") == PHOTO
    assert proxy.damaged_gets == 0


def test_a_server_whose_tags_are_no_digests_is_read_all_the_same(
    place: Place, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_without_checksum(place, "a.jpg", PHOTO)
    monkeypatch.setattr("jobs.storage_s3.promised_md5", lambda _answer: "0" * 32)
    assert place.read("a.jpg") == PHOTO
    calls = proxy.calls.total()
    assert place.read("a.jpg") == PHOTO
    assert proxy.calls.total() == calls + 1, "it is known by now that they are none"


def test_what_is_damaged_while_it_is_written_is_never_left_as_written(
    place: Place, proxy: S3Proxy, server_url: tuple[str, Place]
) -> None:
    # moto says that it compared the checksum, and did not; without that word it is a server that knows none.
    proxy.without_checksums = server_url[1].kind == MOTO
    proxy.damaged_puts = 1
    until_it_works(lambda: place.write("a.jpg", PHOTO))
    assert proxy.damaged_puts == 0, "the damage was done"
    assert place.read("a.jpg") == PHOTO


# Who may replace an output


def test_an_output_of_an_earlier_job_is_replaced_and_one_of_a_later_job_is_not(place: Place) -> None:
    storage, key = place.storage, place.key("a.webp")
    storage.write(key, b"foreign", media_type=JPEG)
    storage.write(key, b"first", media_type=JPEG, order="1")
    storage.write(key, b"second", media_type=JPEG, order="2")
    assert place.read("a.webp") == b"second"
    with pytest.raises(Superseded) as refused:
        storage.write(key, b"first", media_type=JPEG, order="1")
    assert not refused.value.retryable
    assert place.read("a.webp") == b"second"


def test_a_repeated_attempt_uploads_nothing(place: Place, proxy: S3Proxy) -> None:
    for _ in range(2):
        place.storage.write(place.key("a.webp"), PHOTO, media_type=JPEG, order="1")
    bucket = place.location.root
    assert proxy.calls[(bucket, "PUT", 200)] == 1
    assert proxy.calls[(bucket, "PUT", 412)] == 1


def test_of_many_writers_at_once_the_latest_job_stays(place: Place) -> None:
    def write(number: int) -> bool:
        data = f"{number}".encode()
        try:
            until_it_works(lambda: place.storage.write(place.key("a.webp"), data, media_type=JPEG, order=f"{number}"))
        except Superseded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(write, range(8)))
    assert written[-1], "nobody is later"
    assert place.read("a.webp") == b"7"


# A bucket that says that it is too much


def test_a_bucket_that_says_slow_down_is_called_more_slowly_and_nothing_is_lost(
    place: Place, proxy: S3Proxy, server_url: tuple[str, Place]
) -> None:
    names = [f"{number}.jpg" for number in range(48)]
    for name in names:
        server_url[1].storages.at(place.location).write(place.key(name), name.encode(), media_type=JPEG)
    bucket = place.location.root
    proxy.per_second[bucket] = 8

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda name: until_it_works(lambda: place.read(name)), names)) == [
            name.encode() for name in names
        ]
    told = proxy.calls[(bucket, "GET", 503)]
    assert 0 < told < len(names) / 2, "most calls are made when there is room for them"
    server = place.storages._s3()
    assert server.habits(bucket).pace.per_second is not None
    assert server.habits("another-bucket").pace.per_second is None, "nobody else waits"
