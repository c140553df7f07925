"""Bad requests are refused at once, with every field, value and remedy; nothing is left behind."""

from __future__ import annotations

import contextlib
import copy
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from api.app import create_app
from jobs.records import Record
from tests.api.conftest import files_below, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from api.settings import ApiSettings
    from jobs.cards import CardShelf
    from jobs.database import Database

OWN = "file:///STORAGE"  # stands for the service's own storage

# what is changed in a good request: dotted path, value; then the field that must be named, and the code
CASES: dict[str, tuple[str, Any, str, str]] = {
    "model": ("recipe.model", "nope", "recipe.model", "unknown_model"),
    "style": ("recipe", {"model": "reinhard", "style": "nope"}, "recipe.style", "unknown_style"),
    "style with a NUL": ("recipe", {"model": "reinhard", "style": "a\0"}, "recipe.style", "unknown_style"),
    "no style": ("recipe", {"model": "reinhard"}, "recipe.style", "style_required"),
    "needless style": ("recipe.style", "warm", "recipe.style", "style_not_taken"),
    "strength": ("recipe.parameters", {"strength": 7}, "recipe.parameters.strength", "invalid_request"),
    "parameter": ("recipe.parameters", {"power": 1}, "recipe.parameters.power", "invalid_request"),
    "parameter's type": ("recipe.parameters", {"strength": "x"}, "recipe.parameters.strength", "invalid_request"),
    "no value": ("recipe.parameters", {"strength": None}, "recipe.parameters.strength", "invalid_request"),
    "format": ("recipe.format", "heic", "recipe.format", "invalid_request"),
    "quality": ("recipe.quality", 101, "recipe.quality", "invalid_request"),
    "quality as text": ("recipe.quality", "90", "recipe.quality", "invalid_request"),
    "parameter as text": ("recipe.parameters", {"strength": "0.5"}, "recipe.parameters.strength", "invalid_request"),
    "priority as text": ("priority", "5", "priority", "invalid_request"),
    "workers as text": ("max_workers", "2", "max_workers", "invalid_request"),
    "days as text": ("retention", {"days": "30"}, "retention.days", "invalid_request"),
    "share as text": (
        "failure_policy",
        {"max_failed_share": "0.1"},
        "failure_policy.max_failed_share",
        "invalid_request",
    ),
    "protected colour": (
        "recipe.protected_colours",
        [{"colour": "red"}],
        "recipe.protected_colours.0.colour",
        "invalid_request",
    ),
    "background": ("recipe.background", {"type": "sea"}, "recipe.background.type", "invalid_request"),
    "strength of nothing": (
        "recipe",
        {"model": "still", "background": {"type": "kept", "strength": 0.5}},
        "recipe.background.type",
        "background_not_taken",
    ),
    "table with what differs from place to place": (
        "recipe",
        {"model": "still", "format": "cube", "parameters": {"glow": 0.5}},
        "recipe.parameters.glow",
        "no_table",
    ),
    "table of a model that makes none": ("recipe.format", "cube", "recipe.format", "no_table"),
    "foreign backdrop": (
        "recipe.background",
        {"type": "picture", "url": "file:///etc/oak.jpg"},
        "recipe.background.url",
        "source_not_allowed",
    ),
    "no backdrop": (
        "recipe.background",
        {"type": "picture", "url": f"{OWN}/oak.jpg"},
        "recipe.background.url",
        "object_missing",
    ),
    "next model": ("recipe.then", [{"model": "still"}, {"model": "nope"}], "recipe.then.1.model", "unknown_model"),
    "strength of the next": (
        "recipe.then",
        [{"model": "still"}, {"model": "identity", "parameters": {"strength": 7}}],
        "recipe.then.1.parameters.strength",
        "invalid_request",
    ),
    "parameter of the next as text": (
        "recipe.then",
        [{"model": "identity", "parameters": {"strength": "1"}}],
        "recipe.then.0.parameters.strength",
        "invalid_request",
    ),
    "no style of the next": ("recipe.then", [{"model": "reinhard"}], "recipe.then.0.style", "style_required"),
    "style of the next": (
        "recipe.then",
        [{"model": "reinhard", "style": "nope"}],
        "recipe.then.0.style",
        "unknown_style",
    ),
    "needless style of the next": (
        "recipe.then",
        [{"model": "still", "style": "warm"}],
        "recipe.then.0.style",
        "style_not_taken",
    ),
    "too many models": ("recipe.then", 4 * [{"model": "still"}], "recipe.then", "invalid_request"),
    "where the next acts": ("recipe.then", [{"model": "still", "on": "sky"}], "recipe.then.0.on", "invalid_request"),
    "where a model acts": ("recipe.on", "sky", "recipe.on", "invalid_request"),
    "model that restyles nothing": ("recipe.model", "finder", "recipe.model", "wrong_operation"),
    "next that restyles nothing": ("recipe.then", [{"model": "finder"}], "recipe.then.0.model", "wrong_operation"),
    "mask of a model that finds nothing": (
        "recipe",
        {"model": "identity", "on": "product", "mask": {"model": "identity"}},
        "recipe.mask.model",
        "wrong_operation",
    ),
    "mask of no model": (
        "recipe",
        {"model": "identity", "on": "product", "mask": {"model": "nope"}},
        "recipe.mask.model",
        "unknown_model",
    ),
    "mask": ("recipe.mask", "guess", "recipe.mask", "invalid_request"),
    "mask of a model for nothing": ("recipe.mask", {"model": "finder"}, "recipe.mask", "mask_without_background"),
    "kept background of a model on the product": (
        "recipe",
        {"model": "identity", "on": "product", "background": {"type": "kept", "strength": 0.5}},
        "recipe.background.type",
        "background_not_taken",
    ),
    "new background of a model on the background": (
        "recipe",
        {"model": "identity", "on": "background", "background": {"type": "colour", "colour": "#ffffff"}},
        "recipe.background.type",
        "background_not_taken",
    ),
    "table of several models": (
        "recipe",
        {"model": "identity", "then": [{"model": "still"}], "format": "cube"},
        "recipe.format",
        "no_table",
    ),
    "mask without background": ("recipe.mask", "alpha", "recipe.mask", "mask_without_background"),
    "operation": ("recipe.operation", "paint", "recipe.operation", "invalid_request"),
    "field": ("colour", "red", "colour", "invalid_request"),
    "field of the recipe": ("recipe.strength", 1, "recipe.strength", "invalid_request"),
    "field of the source": ("source.recursive", True, "source.recursive", "invalid_request"),
    "priority": ("priority", 1000, "priority", "invalid_request"),
    "moment as a number": ("deadline_at", 4102444800, "deadline_at", "invalid_request"),
    "moment without an offset": ("not_before_at", "2030-01-01T00:00:00", "not_before_at", "invalid_request"),
    "no source": ("source", None, "source", "invalid_request"),
    "source's type": ("source.type", "folder", "source.type", "invalid_request"),
    "source without a type": ("source", {"url": OWN}, "source.type", "invalid_request"),
    "source without a URL": ("source", {"type": "prefix"}, "source.url", "invalid_request"),
    "URL": ("source.url", "catalogue/", "source.url", "location_invalid"),
    "web address": ("source.url", "https://shop.example/a/", "source.url", "location_invalid"),
    "URL with a NUL": ("source.url", f"{OWN}/a\0/", "source.url", "location_invalid"),
    "foreign folder": ("source.url", "file:///etc/", "source.url", "source_not_allowed"),
    "climbing": ("source.url", f"{OWN}/../", "source.url", "location_invalid"),
    "foreign bucket": ("source.url", "s3://other/catalogue/", "source.url", "source_not_allowed"),
    "empty prefix": ("source.url", f"{OWN}/nothing/", "source.url", "source_empty"),
    "output": ("output_url", "catalogue", "output_url", "location_invalid"),
    "foreign output": ("output_url", "file:///etc/", "output_url", "source_not_allowed"),
    "output on originals": ("output_url", f"{OWN}/catalogue", "output_url", "output_holds_source"),
    "output around originals": ("output_url", f"{OWN}/", "output_url", "output_holds_source"),
    "output with a long name": ("output_url", f"{OWN}/{'x/' * 400}", "output_url", "output_name_too_long"),
    "manifest's format": (
        "source",
        {"type": "manifest", "url": f"{OWN}/spring.xlsx"},
        "source.url",
        "manifest_format_unknown",
    ),
    "no manifest": ("source", {"type": "manifest", "url": f"{OWN}/autumn.csv"}, "source.url", "object_missing"),
    "foreign base": (
        "source",
        {"type": "manifest", "url": f"{OWN}/spring.csv", "base_url": "file:///etc/"},
        "source.base_url",
        "source_not_allowed",
    ),
    "rule for bad rows": (
        "source",
        {"type": "manifest", "url": f"{OWN}/spring.csv", "on_bad_row": "guess"},
        "source.on_bad_row",
        "invalid_request",
    ),
}


def changed(body: dict[str, Any], path: str, value: Any, storage: Path) -> dict[str, Any]:
    """Return a body in which one value is another; OWN in it becomes the storage's place."""
    body = copy.deepcopy(body)
    *parents, last = path.split(".")
    target = body
    for parent in parents:
        target = target[parent]
    target[last] = value
    whole: dict[str, Any] = placed(body, storage)
    return whole


def placed(value: Any, storage: Path) -> Any:
    if isinstance(value, dict):
        return {name: placed(each, storage) for name, each in value.items()}
    return value.replace(OWN, f"file://{storage}") if isinstance(value, str) else value


def row_counts(database: Database) -> dict[str, int]:
    with database.reading() as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table)) or 0
            for table in Record.metadata.sorted_tables
        }


@pytest.fixture(autouse=True)
def nothing_is_left_behind(clean: None, storage_folder: Path, database: Database) -> Iterator[None]:
    files = files_below(storage_folder)
    yield
    assert files_below(storage_folder) == files
    assert set(row_counts(database).values()) == {0}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_done_is_refused_with_field_value_and_remedy(
    api: httpx.Client, job_request: dict[str, Any], storage_folder: Path, case: str
) -> None:
    path, value, field, code = CASES[case]
    body = changed(job_request, path, value, storage_folder)
    answer = api.post("/v1/jobs", json=body)
    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (problem["status"], problem["code"], problem["retryable"]) == (422, code, False)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert set(problem["errors"][0]) == {"field", "value", "remedy"}
    assert len(problem["errors"][0]["remedy"]) > 10
    assert field in problem["detail"]


def test_text_for_a_number_is_refused_and_a_whole_number_for_a_number_is_not(
    api: httpx.Client, job_request: dict[str, Any]
) -> None:
    checked = job_request | {"validate_only": True}
    text = {"model": "identity", "quality": "90", "parameters": {"strength": "0.5"}}
    errors = api.post("/v1/jobs", json=checked | {"recipe": text}).json()["errors"]
    assert {error["field"]: error["value"] for error in errors} == {
        "recipe.quality": "90",
        "recipe.parameters.strength": "0.5",
    }
    numbers = {"model": "identity", "quality": 90, "parameters": {"strength": 1}}
    answer = api.post("/v1/jobs", json=checked | {"recipe": numbers})
    assert answer.json()["recipe"]["parameters"] == {"strength": 1}


def test_the_refused_value_is_given_back(api: httpx.Client, job_request: dict[str, Any], storage_folder: Path) -> None:
    body = changed(job_request, "recipe.parameters", {"strength": 7}, storage_folder)
    [error] = api.post("/v1/jobs", json=body).json()["errors"]
    assert error == {"field": "recipe.parameters.strength", "value": 7, "remedy": "give a number from 0 to 1"}


def test_a_long_value_is_given_back_shortened(api: httpx.Client, job_request: dict[str, Any]) -> None:
    problem = api.post("/v1/jobs", json=job_request | {"x": "y" * 100_000}).json()
    assert len(problem["errors"][0]["value"]) < 300
    assert len(problem["detail"]) <= 2000


def test_all_that_is_wrong_is_told_together(api: httpx.Client, storage_folder: Path) -> None:
    body = {
        "recipe": {"model": "reinhard", "style": "nope", "parameters": {"strength": 7, "power": 1}},
        "source": {"type": "prefix", "url": "s3://other/catalogue/"},
        "output_url": "nowhere",
    }
    problem = api.post("/v1/jobs", json=body).json()
    fields = {error["field"] for error in problem["errors"]}
    assert problem["code"] == "invalid_request"
    assert fields == {
        "recipe.style",
        "recipe.parameters.strength",
        "recipe.parameters.power",
        "source.url",
        "output_url",
    }


def test_all_wrong_types_and_unknown_fields_are_told_together(api: httpx.Client) -> None:
    body = {"recipe": {"quality": "high"}, "source": {"type": "prefix", "url": 7, "x": 1}, "y": None}
    problem = api.post("/v1/jobs", json=body).json()
    fields = {error["field"] for error in problem["errors"]}
    assert fields == {"recipe.model", "recipe.quality", "source.url", "source.x", "y"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 400])
def test_a_number_that_json_does_not_know_is_refused_like_any_other(
    api: httpx.Client, storage_folder: Path, number: str
) -> None:
    body = (
        '{"recipe": {"model": "identity", "parameters": {"strength": %s}},'
        ' "source": {"type": "prefix", "url": "file://%s/catalogue/"}}'
    )
    content = body % (number, storage_folder)
    answer = api.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "recipe.parameters.strength"


@pytest.mark.parametrize("text", ["\ud800", "\0"])
@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("recipe.model", "TEXT", "recipe.model"),
        ("recipe", {"model": "reinhard", "style": "TEXT"}, "recipe.style"),
        ("recipe.parameters", {"TEXT": 1}, "recipe.parameters."),
        ("recipe.parameters", {"strength": "TEXT"}, "recipe.parameters.strength"),
        ("source.url", f"{OWN}/TEXT/", "source.url"),
        ("source", {"type": "manifest", "url": f"{OWN}/spring.csv", "base_url": f"{OWN}/TEXT/"}, "source.base_url"),
        ("output_url", f"{OWN}/TEXT/", "output_url"),
        ("TEXT", 1, ""),
    ],
)
def test_text_that_no_database_takes_is_refused(
    api: httpx.Client, job_request: dict[str, Any], storage_folder: Path, path: str, value: Any, field: str, text: str
) -> None:
    body = json.dumps(changed(job_request, path, value, storage_folder)).replace("TEXT", json.dumps(text)[1:-1])
    answer = api.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(field)


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"", "application/json", 422, "invalid_request"),
        (b"{", "application/json", 400, "malformed_body"),
        (b"\xff\xfe{}", "application/json", 400, "malformed_body"),
        (b"[" * 100_000, "application/json", 400, "malformed_body"),
        (b"[]", "application/json", 422, "invalid_request"),
        (b"{}", "text/plain", 422, "invalid_request"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    api: httpx.Client, content: bytes, media_type: str, status: int, code: str
) -> None:
    answer = api.post("/v1/jobs", content=content, headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("parts", "field", "remedy"),
    [
        ({"data": {"name": "Dark & Moody"}, "files": {"references": b"x"}}, "name", "use text that matches"),
        ({"data": {"name": "dusk", "references": "look.jpg"}}, "references", "upload a file"),
    ],
)
def test_the_remedy_is_said_in_our_words(api: httpx.Client, parts: dict[str, Any], field: str, remedy: str) -> None:
    [error] = api.post("/v1/styles", **parts).json()["errors"]
    assert error["field"] == field
    assert error["remedy"].startswith(remedy)


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "schl\u00fcssel"])
def test_an_unusable_idempotency_key_is_refused(api: httpx.Client, job_request: dict[str, Any], key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    answer = api.post("/v1/jobs", json=job_request, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].lower() == "header.idempotency-key"


@pytest.mark.parametrize(
    "query", ["state=done", "limit=0", "limit=1001", "after=-1", "after=99999999999", "error_code=%00", "after=x"]
)
def test_an_unusable_filter_is_refused(api: httpx.Client, query: str) -> None:
    answer = api.get(f"/v1/jobs/{'0' * 32}/items?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == f"query.{query.partition('=')[0]}"


def test_storage_that_does_not_answer_is_worth_another_try(
    settings: ApiSettings, shelf: CardShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with contextlib.closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    unreachable = settings.model_copy(
        update={
            "s3_endpoint_url": f"http://127.0.0.1:{port}",
            "s3_region": "us-east-1",
            "allowed_prefixes": ("s3://shop/",),
        }
    )
    body = {"recipe": {"model": "identity"}, "source": {"type": "prefix", "url": "s3://shop/catalogue/"}}
    wrong = body | {"output_url": "nowhere"}
    with serving(create_app(unreachable, shelf=shelf)) as api:
        answer = api.post("/v1/jobs", json=body)
        told = api.post("/v1/jobs", json=wrong)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert answer.json()["retryable"] is True
    assert int(answer.headers["Retry-After"]) > 0
    assert (told.status_code, told.json()["errors"][0]["field"]) == (422, "output_url")
