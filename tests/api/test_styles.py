"""Styles over HTTP, on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from api.app import create_app
from jobs.records import StyleRecord
from jobs.styles import MAX_REFERENCE_BYTES
from tests.api.conftest import files_below, serving
from tests.factories import make_style

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from api.settings import ApiSettings
    from jobs.cards import CardShelf
    from jobs.database import Database

JPEG = b"\xff\xd8\xff\xe0 a picture"
PNG = b"\x89PNG\r\n\x1a\n another picture"


def upload(api: httpx.Client, name: str, *pictures: bytes, file_name: str = "look.jpg") -> httpx.Response:
    files = [("references", (file_name, picture)) for picture in pictures]
    return api.post("/v1/styles", data={"name": name}, files=files)


def style_files(folder: Path) -> set[str]:
    return {name for name in files_below(folder) if name.startswith("styles/")}


def style_count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(StyleRecord)) or 0


def test_an_uploaded_style_keeps_its_pictures_in_the_services_storage(api: httpx.Client, storage_folder: Path) -> None:
    answer = upload(api, "warm-wood", JPEG, PNG)
    style = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, "/v1/styles/warm-wood")
    assert [reference["file_name"] for reference in style["references"]] == ["look.jpg", "look.jpg"]
    assert [reference["bytes"] for reference in style["references"]] == [len(JPEG), len(PNG)]
    assert style_files(storage_folder) == {f"styles/{style['id']}/0.jpg", f"styles/{style['id']}/1.png"}
    assert (storage_folder / "styles" / style["id"] / "1.png").read_bytes() == PNG
    assert api.get("/v1/styles/warm-wood").json() == style


def test_a_style_can_be_named_in_a_job(api: httpx.Client, storage_folder: Path) -> None:
    upload(api, "warm", JPEG)
    body = {
        "recipe": {"model": "reinhard", "style": "warm"},
        "source": {"type": "prefix", "url": f"file://{storage_folder}/catalogue/"},
    }
    assert api.post("/v1/jobs", json=body).status_code == 202


def test_equal_pictures_under_the_same_name_are_the_same_style(
    api: httpx.Client, storage_folder: Path, database: Database
) -> None:
    first = upload(api, "warm", JPEG, PNG)
    again = upload(api, "warm", PNG, JPEG, file_name="other.jpg")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert (style_count(database), len(style_files(storage_folder))) == (1, 2)


def test_other_pictures_under_the_same_name_are_refused(
    api: httpx.Client, storage_folder: Path, database: Database
) -> None:
    first = upload(api, "warm", JPEG)
    other = upload(api, "warm", PNG)
    assert (other.status_code, other.json()["code"]) == (409, "style_exists")
    assert style_files(storage_folder) == {f"styles/{first.json()['id']}/0.jpg"}
    assert style_count(database) == 1


def test_uploads_that_race_for_one_name_leave_one_style_and_its_pictures(
    api: httpx.Client, storage_folder: Path, database: Database
) -> None:
    start = threading.Barrier(6)

    def race(number: int) -> httpx.Response:
        start.wait()
        return upload(api, "warm", JPEG if number % 2 else PNG)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(race, range(6)))
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    [winner] = [answer.json() for answer in answers if answer.status_code == 201]
    assert sum(answer.status_code == 200 for answer in answers) == 2
    assert style_count(database) == 1
    assert len(style_files(storage_folder)) == 1
    assert winner["id"] in style_files(storage_folder).pop()


@pytest.mark.parametrize(
    ("pictures", "number", "remedy"),
    [
        ((JPEG, b""), 1, "not empty"),
        ((b"just text", JPEG), 0, "upload a picture"),
        ((JPEG + b"x" * MAX_REFERENCE_BYTES,), 0, "at most 20 MB"),
    ],
)
def test_a_file_that_is_no_usable_picture_is_named_and_nothing_is_left(
    api: httpx.Client,
    storage_folder: Path,
    database: Database,
    pictures: tuple[bytes, ...],
    number: int,
    remedy: str,
) -> None:
    answer = upload(api, "warm", *pictures, file_name="look.jpg")
    [error] = answer.json()["errors"]
    assert (answer.status_code, answer.json()["code"]) == (422, "reference_refused")
    assert (error["field"], error["value"]) == (f"references.{number}", "look.jpg")
    assert remedy in error["remedy"]
    assert (style_count(database), style_files(storage_folder)) == (0, set())


def test_every_unusable_file_is_named(api: httpx.Client) -> None:
    fields = [error["field"] for error in upload(api, "warm", b"a", JPEG, b"", b"b").json()["errors"]]
    assert fields == ["references.0", "references.2", "references.3"]


def test_too_many_pictures_are_refused(api: httpx.Client, storage_folder: Path) -> None:
    answer = upload(api, "warm", *[JPEG] * 17)
    assert (answer.status_code, answer.json()["errors"][0]["value"]) == (422, 17)
    assert style_files(storage_folder) == set()


@pytest.mark.parametrize("name", ["Warm", "warm wood", "../warm", "-warm", "warm\n", "w" * 65, ""])
def test_a_name_that_is_no_slug_is_refused(api: httpx.Client, name: str) -> None:
    answer = upload(api, name, JPEG)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "name"


def test_a_form_without_pictures_is_refused(api: httpx.Client) -> None:
    answer = api.post("/v1/styles", data={"name": "warm"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "references")


def test_a_style_whose_pictures_storage_does_not_take_does_not_exist(
    settings: ApiSettings, shelf: CardShelf, database: Database, clean: None, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"in the way of a folder")
    blocked = settings.model_copy(update={"storage_url": f"file://{tmp_path}/file"})
    with serving(create_app(blocked, shelf=shelf)) as api:
        assert upload(api, "warm", JPEG).status_code == 503
        assert api.get("/v1/styles/warm").status_code == 404
    assert style_count(database) == 0


def test_styles_are_listed_by_name_in_pages(api: httpx.Client, database: Database) -> None:
    with database.transaction() as session:
        for name in ("c", "a", "b"):
            make_style(session, name)
        make_style(session, "d", tenant_id="other")
    first = api.get("/v1/styles", params={"limit": 2}).json()
    second = api.get("/v1/styles", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [style["name"] for style in first["data"] + second["data"]] == ["a", "b", "c"]
    assert second["next_cursor"] is None


def test_a_style_of_another_tenant_is_as_good_as_absent(api: httpx.Client, database: Database) -> None:
    with database.transaction() as session:
        make_style(session, "warm", tenant_id="other")
    assert api.get("/v1/styles/warm").status_code == api.get("/v1/styles/cold").status_code == 404
    assert upload(api, "warm", JPEG).status_code == 201


def test_styles_are_mixed_into_a_new_one(api: httpx.Client) -> None:
    upload(api, "autumn", JPEG)
    upload(api, "night", PNG)
    body = {"name": "late", "styles": [{"style": "autumn", "weight": 0.7}, {"style": "night", "weight": 0.3}]}
    answer = api.post("/v1/styles/mixes", json=body)
    assert (answer.status_code, answer.headers["Location"]) == (201, "/v1/styles/late")
    assert sorted(reference["weight"] for reference in answer.json()["references"]) == [0.3, 0.7]
    assert api.get("/v1/styles/late").json() == answer.json()
    assert api.post("/v1/styles/mixes", json=body).status_code == 200
    other = {"name": "late", "styles": [{"style": "autumn", "weight": 1.0}, {"style": "night", "weight": 1.0}]}
    assert api.post("/v1/styles/mixes", json=other).json()["code"] == "style_exists"
    unknown = {"name": "new", "styles": [{"style": "autumn", "weight": 1.0}, {"style": "nobody", "weight": 1.0}]}
    assert api.post("/v1/styles/mixes", json=unknown).status_code == 404
    for shares in (
        [{"style": "autumn", "weight": 1.0}],
        [{"style": "a", "weight": 0.0}, {"style": "b", "weight": 1.0}],
    ):
        assert api.post("/v1/styles/mixes", json={"name": "new", "styles": shares}).status_code == 422
