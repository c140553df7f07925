"""One suite for every storage: a folder, a real S3 server, and moto.

moto shows only that we call the API of S3 as it is meant, byte order and awkward keys included; it checks
no signature. SeaweedFS checks them, but keeps objects as a tree of folders, so that some keys differ there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.errors import AccessDenied, ObjectMissing, ObjectTooLarge
from tests.places import JPEG, MOTO, Place

if TYPE_CHECKING:
    from pathlib import Path


# Reading and writing


def test_what_is_written_is_read_back(place: Place) -> None:
    place.write("shoes/a.jpg", b"first")
    assert place.read("shoes/a.jpg") == b"first"


def test_a_second_write_replaces_the_first(place: Place) -> None:
    place.write("a.jpg", b"a long first version")
    place.write("a.jpg", b"second")
    assert place.read("a.jpg") == b"second"


def test_an_empty_object_is_an_object(place: Place) -> None:
    key = place.write("empty.jpg", b"")
    assert place.storage.read(key, max_bytes=0) == b""
    assert place.storage.stat(key).size_bytes == 0
    with place.storage.open(key) as stream:
        assert stream.read() == b""


def test_an_object_of_exactly_the_limit_is_read_and_one_byte_more_is_not(place: Place) -> None:
    key = place.write("a.jpg", b"12345")
    assert place.storage.read(key, max_bytes=5) == b"12345"
    with pytest.raises(ObjectTooLarge, match="has 5 bytes; the limit is 4") as refused:
        place.storage.read(key, max_bytes=4)
    assert not refused.value.retryable


def test_a_stream_gives_an_object_piece_by_piece(place: Place) -> None:
    data = os.urandom(100_000) + b"\nlast line"
    key = place.write("big.csv", data)
    with place.storage.open(key) as stream:
        assert stream.read(10) == data[:10]
        assert stream.read(99_991) == data[10:100_001]
        assert stream.readline() == b"last line"
        assert stream.readline() == b""


def test_a_large_local_file_is_uploaded_whole(place: Place, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 17  # above 16 MiB, so that S3 gets it in parts
    (tmp_path / "large").write_bytes(data)
    key = place.key("large.bin")
    place.storage.upload(key, tmp_path / "large", media_type="application/octet-stream")
    assert place.storage.stat(key).size_bytes == len(data)
    with place.storage.open(key) as stream:
        assert stream.read() == data


def test_stat_tells_size_and_notices_a_change(place: Place) -> None:
    before = place.storage.stat(place.write("a.jpg", b"red"))
    assert (before.key, before.size_bytes) == (place.key("a.jpg"), 3)
    assert place.storage.stat(before.key) == before
    place.write("a.jpg", b"tan")
    assert place.storage.stat(before.key).etag != before.etag


def test_a_deleted_object_is_gone_and_deleting_it_again_is_fine(place: Place) -> None:
    key = place.write("shoes/a.jpg")
    place.storage.delete(key)
    place.storage.delete(key)
    assert place.listed() == []
    with pytest.raises(ObjectMissing):
        place.storage.stat(key)


# Errors


@pytest.mark.parametrize("key", ["nothing.jpg", "a.jpg/below-a-file", "folder"])
def test_what_is_not_there_is_missing_for_good(place: Place, key: str) -> None:
    place.write("a.jpg")
    place.write("folder/b.jpg")
    key = place.key(key)
    with pytest.raises(ObjectMissing, match=key) as missing:
        place.storage.read(key, max_bytes=10)
    assert not missing.value.retryable
    with pytest.raises(ObjectMissing):
        place.storage.stat(key)
    with pytest.raises(ObjectMissing), place.storage.open(key):
        pass


def test_a_storage_reaches_nothing_beside_its_folder(place: Place) -> None:
    beside = f"{place.location.key.removesuffix('/')}-of-others/a.jpg"
    storage = place.storage
    for attempt in (
        lambda: storage.read(beside, max_bytes=10),
        lambda: storage.open(beside).__enter__(),
        lambda: storage.stat(beside),
        lambda: storage.write(beside, b"x", media_type=JPEG),
        lambda: storage.delete(beside),
        lambda: list(storage.list(beside)),
        lambda: list(storage.list("")),
    ):
        with pytest.raises(AccessDenied, match="outside"):
            attempt()


def test_the_storage_of_an_object_reaches_the_objects_folder(place: Place) -> None:
    key = place.write("manifest.csv", b"key\n")
    storage = place.storages.at(place.location.child("manifest.csv"))
    assert storage.read(key, max_bytes=10) == b"key\n"


# Keys

AWKWARD = [
    "with space.jpg",
    " leading and trailing ",
    "plus+sign.jpg",
    "100%.jpg",
    "%2F%2e%2e.jpg",
    "hash#1?query=2&x=3;y.jpg",
    "quotes'\"`<>|*:.jpg",
    "dots../...x/trailing...",
    ".hidden",
    "new\nline\ttab.jpg",
    "𝄞 emoji 🦊.jpg",
    unicodedata.normalize("NFC", "Zoë Müller/é.jpg"),
    unicodedata.normalize("NFD", "Zoë Müller/é.jpg"),
    "/".join(["k" * 230] * 4),  # about 1,000 bytes with the folder before it
]


@pytest.mark.parametrize("key", AWKWARD)
def test_an_awkward_key_is_written_listed_and_read_as_it_is(place: Place, key: str) -> None:
    if place.kind == MOTO and "\n" in key:
        pytest.skip("moto's web server knows no line break in a path")
    place.write(key, key.encode())
    assert place.listed() == [key]
    assert place.read(key) == key.encode()
    place.storage.delete(place.key(key))
    assert place.listed() == []


def test_two_unicode_forms_of_a_name_are_two_objects(place: Place) -> None:
    names = [unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD")]
    for name in names:
        place.write(name, name.encode())
    assert [place.read(name) for name in names] == [name.encode() for name in names]


@pytest.mark.parametrize("key", ["a//b.jpg", "/leading.jpg", "s" * 700])
def test_keys_that_only_s3_knows(place: Place, key: str) -> None:
    if place.kind == "seaweed":
        pytest.skip("SeaweedFS keeps a tree of folders: no empty names, none above 255 bytes")
    if place.kind == "folder":
        with pytest.raises((ObjectMissing, AccessDenied)):
            place.write(key)
        with pytest.raises(ObjectMissing):
            place.read(key)
        assert place.listed() == []
    else:
        place.write(key, b"x")
        assert place.listed() == [key]
        assert place.read(key) == b"x"


# Lists

TREE = [
    "A.jpg",
    "a!/1",
    "a-b.jpg",
    "a-b/c.jpg",
    "a.jpg",
    "a/b-c/1",
    "a/b.jpg",
    "a/b/c.jpg",
    "a0",
    "b",
    "z/é",
    "é",
    "𝄞",
]


def test_a_list_ascends_by_the_bytes_of_whole_keys(place: Place) -> None:
    for key in reversed(TREE):
        place.write(key)
    if place.kind == "seaweed":  # documented at Storage.list
        assert place.listed() == sorted(TREE, key=lambda key: key.replace("/", "\0").encode())
    else:
        assert place.listed() == sorted(TREE, key=str.encode)


def test_a_list_goes_on_behind_any_key(place: Place) -> None:
    for key in TREE:
        place.write(key)
    whole = place.listed()
    assert sorted(whole) == sorted(TREE)
    for position, key in enumerate(whole):
        assert place.listed(after=key) == whole[position + 1 :]


def test_a_prefix_is_text_not_a_folder(place: Place) -> None:
    for key in TREE:
        place.write(key)
    assert set(place.listed("a")) == {key for key in TREE if key.startswith("a")}
    assert set(place.listed("a/b")) == {"a/b.jpg", "a/b/c.jpg", "a/b-c/1"}
    assert place.listed("a/b/") == ["a/b/c.jpg"]
    for nothing in ("nothing/", "nothing", "a/b.jpg/"):
        assert place.listed(nothing) == []


def test_a_list_tells_what_stat_tells(place: Place) -> None:
    place.write("a/b.jpg", b"12345")
    assert list(place.storage.list(place.location.key)) == [place.storage.stat(place.key("a/b.jpg"))]


def test_a_list_may_be_longer_than_a_page(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.storage_s3.PAGE_KEYS", 5)
    keys = [f"{number:02}.jpg" for number in range(12)]
    for key in keys:
        place.write(key)
    assert place.listed() == keys
    assert place.listed(after="03.jpg") == keys[4:]


# Whole or nothing


def test_readers_beside_writers_see_whole_objects(place: Place) -> None:
    versions = [bytes([number]) * 300_000 for number in range(4)]
    key = place.write("a.jpg", versions[0])
    stop = threading.Event()

    def write(data: bytes) -> None:
        for _ in range(5):
            place.write("a.jpg", data)

    def read() -> set[bytes]:
        seen = {place.read("a.jpg")}
        while not stop.is_set():
            seen.add(place.read("a.jpg"))
        return seen

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        writers = [pool.submit(write, data) for data in versions]
        for writer in writers:
            writer.result()
        stop.set()
        seen = set().union(*(reader.result() for reader in readers))
    assert seen <= set(versions)
    assert place.listed() == ["a.jpg"]
    assert place.storage.stat(key).size_bytes == 300_000


def test_storages_without_s3_load_no_boto3(tmp_path: Path) -> None:
    program = (
        "import sys; from jobs.storage import Storages; from jobs.locations import Location;"
        f"Storages().at(Location.parse('file://{tmp_path}/'));"
        "print('boto3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
