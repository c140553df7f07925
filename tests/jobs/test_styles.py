"""Styles without HTTP: what is taken for a picture, and what is left when something goes wrong half-way."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from jobs import styles
from jobs.errors import Conflict, NotFound
from jobs.records import StyleRecord
from jobs.storage import Storages
from jobs.styles import Reference, Upload, look_at, picture_type
from jobs.tenants import Tenant
from tests.factories import make_style

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobs.database import Database

TENANT = Tenant(id="default", allowed_prefixes=())
JPEG = b"\xff\xd8\xff\xe0 a picture"
BMP = b"BM" + b"\x46\0\0\0" + b"\0" * 4 + b"\x36\0\0\0" + b"\x28\0\0\0"


@pytest.mark.parametrize(
    ("head", "extension"),
    [
        (b"\xff\xd8\xff\xe1", ".jpg"),
        (b"\x89PNG\r\n\x1a\n", ".png"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", ".webp"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", ".avif"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avif", ".avif"),
        (b"II*\0", ".tif"),
        (b"MM\0*", ".tif"),
        (BMP, ".bmp"),
        (b"GIF89a", ".gif"),
    ],
)
def test_pictures_are_recognised_by_their_first_bytes(head: bytes, extension: str) -> None:
    found = picture_type(head)
    assert found is not None
    assert found[0] == extension


@pytest.mark.parametrize(
    "head",
    [b"", b"BM is how this text begins, and it is no picture", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x20ftypheic", b"<svg>"],
)
def test_other_files_are_no_pictures(head: bytes) -> None:
    assert picture_type(head) is None


class Interrupted(io.BytesIO):
    """An upload during whose second reading, when it is being stored, something happens."""

    def __init__(self, data: bytes, happens: Callable[[], None]) -> None:
        super().__init__(data)
        self._happens = happens
        self._starts = 0

    def seek(self, position: int, whence: int = 0, /) -> int:
        self._starts += 1
        if self._starts == 2:
            self._happens()
        return super().seek(position, whence)


def references(happens: Callable[[], None]) -> list[Reference]:
    """Two pictures; the first is stored when `happens` is called."""
    files = [io.BytesIO(JPEG), Interrupted(JPEG + b"2", happens)]
    return look_at([Upload(file_name="look.jpg", file=file) for file in files])


def style_count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(StyleRecord)) or 0


def stored_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "styles").rglob("*") if path.is_file()]


def create(database: Database, tmp_path: Path, pictures: list[Reference]) -> tuple[StyleRecord, bool]:
    return styles.create(database, Storages(), TENANT, "warm", pictures, storage_url=f"file://{tmp_path}")


def test_a_failure_after_the_first_picture_leaves_nothing(database: Database, tmp_path: Path) -> None:
    def fail() -> None:
        assert len(stored_files(tmp_path)) == 1
        raise OSError("the upload is gone")

    with pytest.raises(OSError, match="gone"):
        create(database, tmp_path, references(fail))
    assert (style_count(database), stored_files(tmp_path)) == (0, [])


def test_whoever_loses_a_race_with_equal_pictures_gets_the_winner_and_leaves_nothing(
    database: Database, tmp_path: Path
) -> None:
    pictures = references(lambda: win(pictures))

    def win(same: list[Reference]) -> None:
        with database.transaction() as session:
            make_style(session, "warm", sha256=styles.references_sha256(same))

    style, created = create(database, tmp_path, pictures)
    assert not created
    assert style.references[0]["file_name"] == "0.jpg"
    assert (style_count(database), stored_files(tmp_path)) == (1, [])


def test_whoever_loses_a_race_with_other_pictures_is_refused_and_leaves_nothing(
    database: Database, tmp_path: Path
) -> None:
    def win() -> None:
        with database.transaction() as session:
            make_style(session, "warm")

    with pytest.raises(Conflict):
        create(database, tmp_path, references(win))
    assert (style_count(database), stored_files(tmp_path)) == (1, [])


def test_a_file_name_that_no_database_takes_is_kept_without_its_worst_letters(
    database: Database, tmp_path: Path
) -> None:
    pictures = look_at([Upload(file_name="lo\0ok\ud800\n.jpg", file=io.BytesIO(JPEG))])
    style, _ = create(database, tmp_path, pictures)
    assert style.references[0]["file_name"] == "look.jpg"


def test_a_mix_shares_its_pictures_and_counts_each_by_its_styles_share(database: Database) -> None:
    with database.transaction() as session:
        first = make_style(session, "autumn", references=[picture("a"), picture("b")], sha256="1")
        make_style(session, "night", references=[picture("b"), picture("c")], sha256="2")
        mixed, created = styles.mix(session, TENANT, "late", {"autumn": 3.0, "night": 1.0})
        assert created
        weights = {each["sha256"]: each["weight"] for each in mixed.references}
        assert weights == {"a": 0.375, "b": 0.5, "c": 0.125}
        assert {each["url"] for each in first.references} <= {each["url"] for each in mixed.references}
        again, created = styles.mix(session, TENANT, "late", {"night": 0.5, "autumn": 1.5})
        assert (again.id, created) == (mixed.id, False)
        with pytest.raises(Conflict):
            styles.mix(session, TENANT, "late", {"autumn": 1.0, "night": 1.0})
        of_mix, _ = styles.mix(session, TENANT, "later", {"late": 1.0, "night": 1.0})
        assert {each["sha256"]: each["weight"] for each in of_mix.references} == {"a": 0.1875, "b": 0.5, "c": 0.3125}
        with pytest.raises(NotFound):
            styles.mix(session, TENANT, "other", {"autumn": 1.0, "nobody": 1.0})


def picture(digest: str) -> dict[str, object]:
    return {"url": f"file:///styles/{digest}.jpg", "sha256": digest, "bytes": 1, "file_name": f"{digest}.jpg"}
