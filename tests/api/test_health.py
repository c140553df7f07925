"""What the probes say when parts are missing."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from api.app import create_app
from tests.api.conftest import serving

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from api.settings import ApiSettings
    from jobs.cards import CardShelf
    from tests.servers import Broker


def failing(api: httpx.Client) -> set[str]:
    return {name for name, check in api.get("/readyz").json()["checks"].items() if not check["ok"]}


def test_a_process_answers_that_it_is_alive(api: httpx.Client) -> None:
    assert api.get("/healthz").json() == {"alive": True}


def test_an_api_without_a_broker_is_ready_and_says_so(api: httpx.Client) -> None:
    answer = api.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    assert failing(api) == {"broker"}
    assert answer.json()["checks"]["broker"]["required"] is False


def test_an_api_with_everything_is_ready(settings: ApiSettings, shelf: CardShelf, broker_server: Broker) -> None:
    complete = settings.model_copy(update={"broker_url": SecretStr(broker_server.url)})
    with serving(create_app(complete, shelf=shelf)) as api:
        assert failing(api) == set()


def test_an_api_whose_database_lacks_its_schema_is_not_ready(
    settings: ApiSettings, shelf: CardShelf, tmp_path: Path
) -> None:
    empty = settings.model_copy(update={"database_url": SecretStr(f"sqlite:///{tmp_path}/empty.db")})
    with serving(create_app(empty, shelf=shelf)) as api:
        answer = api.get("/readyz")
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
        assert "python -m migrations" in answer.json()["checks"]["schema"]["error"]
        assert failing(api) == {"schema", "broker"}


def test_an_api_whose_storage_hangs_is_not_ready_within_a_bounded_time(
    settings: ApiSettings, shelf: CardShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        hanging = settings.model_copy(
            update={
                "storage_url": "s3://shop",
                "s3_endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}",
                "s3_region": "us-east-1",
            }
        )
        with serving(create_app(hanging, shelf=shelf)) as api:
            start = time.monotonic()
            answer = api.get("/readyz")
            assert 1 < time.monotonic() - start < 4
    assert answer.status_code == 503
    assert answer.json()["checks"]["storage"]["error"] == "no answer within 2 seconds"
