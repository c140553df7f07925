from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.errors import AccessDenied, ObjectMissing
from jobs.locations import Location
from jobs.storage import Storages
from tests.places import JPEG, Place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return Place("folder", Storages(), Location.parse(f"file://{tmp_path}/photos/"))


def test_a_write_that_fails_midway_leaves_what_was_there(folder: Place, tmp_path: Path) -> None:
    key = folder.write("a.jpg", b"old")
    with pytest.raises(TypeError):
        folder.storage.write(key, "no bytes", media_type=JPEG)  # type: ignore[arg-type]
    assert folder.read("a.jpg") == b"old"
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]


def test_an_unfinished_write_of_a_dead_process_is_not_listed(folder: Place, tmp_path: Path) -> None:
    folder.write("a.jpg")
    (tmp_path / "photos" / ".restyle-tmp-0123").write_bytes(b"half")
    assert folder.listed() == ["a.jpg"]


def test_a_new_file_may_be_read_by_those_whom_the_umask_allows(folder: Place, tmp_path: Path) -> None:
    folder.write("a.jpg")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "photos" / "a.jpg").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("key", ["../secret", "x/../../secret", "./a.jpg", "a\0b", "\ud800.jpg", "trailing/"])
def test_a_path_cannot_be_talked_out_of_its_folder(folder: Place, tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder.write("x/a.jpg")
    with pytest.raises(ObjectMissing, match="can be the name of no file"):
        folder.read(key)
    with pytest.raises(ObjectMissing, match="can be the name of no file"):
        folder.write(key)


def test_no_key_starts_with_an_empty_segment(folder: Place) -> None:
    folder.write("x/a.jpg")
    assert folder.listed("x//") == folder.listed("/") == folder.listed("./") == []


def test_a_link_out_of_the_folder_is_refused_and_not_listed(folder: Place, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    folder.write("a.jpg")
    (tmp_path / "photos" / "file-link").symlink_to(tmp_path / "outside" / "secret")
    (tmp_path / "photos" / "folder-link").symlink_to(tmp_path / "outside")
    assert folder.listed() == ["a.jpg"]
    for key in ("file-link", "folder-link/secret"):
        with pytest.raises(AccessDenied, match="through a link"):
            folder.read(key)
    with pytest.raises(AccessDenied, match="through a link"):
        folder.write("folder-link/new")
    with pytest.raises(AccessDenied, match="through a link"):
        folder.listed("folder-link/")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]


def test_a_link_within_the_folder_is_followed_but_not_in_circles(folder: Place, tmp_path: Path) -> None:
    folder.write("shoes/a.jpg", b"photo")
    (tmp_path / "photos" / "best.jpg").symlink_to("shoes/a.jpg")
    (tmp_path / "photos" / "shoes" / "circle").symlink_to("..")
    assert folder.read("best.jpg") == b"photo"
    assert folder.listed() == ["best.jpg", "shoes/a.jpg"]


def test_a_folder_that_is_itself_a_link_works(tmp_path: Path) -> None:
    (tmp_path / "2026-11").mkdir()
    (tmp_path / "2026-11" / "a.jpg").write_bytes(b"photo")
    (tmp_path / "current").symlink_to("2026-11")
    current = Place("folder", Storages(), Location.parse(f"file://{tmp_path}/current/"))
    assert current.listed() == ["a.jpg"]
    assert current.read("a.jpg") == b"photo"


def test_empty_folders_and_things_that_are_no_files_are_not_listed(folder: Place, tmp_path: Path) -> None:
    folder.write("a.jpg")
    (tmp_path / "photos" / "empty" / "deeper").mkdir(parents=True)
    os.mkfifo(tmp_path / "photos" / "pipe")
    assert folder.listed() == ["a.jpg"]
    with pytest.raises(ObjectMissing, match="not a file"):
        folder.read("pipe")


def test_a_file_in_the_way_of_a_folder_is_said(folder: Place) -> None:
    folder.write("a")
    with pytest.raises(AccessDenied, match="may not be written"):
        folder.write("a/b.jpg")
    folder.write("c/d.jpg")
    with pytest.raises(AccessDenied, match="may not be written"):
        folder.write("c")


def test_a_name_that_is_not_utf8_is_listed_and_fails_alone(folder: Place, tmp_path: Path) -> None:
    folder.write("a.jpg")
    (tmp_path / "photos" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"photo")
    (tmp_path / "photos" / os.fsdecode(b"\xff")).mkdir()
    (tmp_path / "photos" / os.fsdecode(b"\xff") / "b.jpg").write_bytes(b"photo")
    assert folder.listed() == ["a.jpg", "caf\ufffd.jpg", "\ufffd/b.jpg"]
    for key in folder.listed()[1:]:
        with pytest.raises(ObjectMissing):
            folder.read(key)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_denied(folder: Place, tmp_path: Path) -> None:
    folder.write("a.jpg")
    (tmp_path / "photos" / "a.jpg").chmod(0)
    with pytest.raises(AccessDenied):
        folder.read("a.jpg")


names = st.text(st.sampled_from("aAb-.!0é~\u00ff𝄞"), min_size=1, max_size=3).filter(
    lambda name: name not in {".", ".."}
)


@given(
    keys=st.sets(st.lists(names, min_size=1, max_size=3).map("/".join), max_size=12),
    prefix=st.text("ab/-", max_size=2),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_folder_lists_as_s3_would(tmp_path_factory: pytest.TempPathFactory, keys: set[str], prefix: str) -> None:
    place = Place("folder", Storages(), Location.parse(f"file://{tmp_path_factory.mktemp('tree')}/"))
    kept = []
    for key in sorted(keys):  # a file and a folder of one name cannot both be
        with contextlib.suppress(AccessDenied):
            place.write(key)
            kept.append(key)
    expected = sorted((key for key in kept if key.startswith(prefix)), key=str.encode)
    assert place.listed(prefix) == expected
    for position, key in enumerate(expected):
        assert place.listed(prefix, after=key) == expected[position + 1 :]
