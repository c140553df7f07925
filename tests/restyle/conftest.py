"""A real API on a port, on a database of the test's own; jobs are put into states by their rows."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
import uvicorn
from pydantic import SecretStr

from api.app import create_app
from api.settings import ApiSettings
from jobs.cards import Card, CardShelf, Parameter
from jobs.database import Database
from restyle import Client

PNG = bytes.fromhex(  # one grey pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c6360000000020001e527de"
    "fc0000000049454e44ae426082"
)


@dataclass(frozen=True)
class RunningApi:
    url: str
    database: Database
    pictures: Path  # an allowed folder with one picture


def card(name: str, **columns: object) -> Card:
    strength = Parameter(type="number", description="How much.", default=1.0, minimum=0, maximum=1)
    defaults = {
        "name": name,
        "version": "1",
        "operation": "restyle",
        "architecture": name,
        "summary": "For tests.",
        "needs_style": True,
        "parameters": {"strength": strength},
        "licence": "MIT",
    }
    return Card.model_validate(defaults | columns)


DRAWS = {"side_px": 64, "attributes": {"kind": ["mug", "shoe"], "colour": ["red"]}}


class Shelf(CardShelf):
    """Cards that need no files."""

    cards = {  # noqa: RUF012
        "reference-grade": card("reference-grade"),
        "plain": card("plain", needs_style=False),
        "drawer": card("drawer", needs_style=False, operation="generate", config=DRAWS),
    }


@pytest.fixture
def running_api(sqlite_url: str, tmp_path: Path) -> Iterator[RunningApi]:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "one.png").write_bytes(PNG)
    settings = ApiSettings(
        database_url=SecretStr(sqlite_url),
        broker_url=SecretStr(f"redis+socket://{tmp_path}/no-broker"),
        storage_url=f"file://{tmp_path}/storage",
        allowed_prefixes=(f"file://{tmp_path}/",),
    )
    # Its log lines would mix with what a command prints in this process.
    with structlog.testing.capture_logs(), socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings, shelf=Shelf()), log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        database = Database(sqlite_url)
        try:
            yield RunningApi(f"http://127.0.0.1:{listener.getsockname()[1]}", database, pictures)
        finally:
            server.should_exit = True
            thread.join()
            database.close()


@pytest.fixture
def client(running_api: RunningApi) -> Iterator[Client]:
    with Client(running_api.url) as client:
        yield client
