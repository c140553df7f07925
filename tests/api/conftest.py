"""The API, served by a real server on a real socket, on a database and a storage folder of the test's own."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from pydantic import SecretStr
from sqlalchemy import delete

from api.app import create_app
from api.settings import ApiSettings
from jobs.cards import CardShelf
from jobs.database import Database
from jobs.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

STRENGTH = {"type": "number", "description": "How much.", "default": 1.0, "minimum": 0, "maximum": 1}
CARD = {
    "version": "1",
    "operation": "restyle",
    "summary": "For tests.",
    "parameters": {"strength": STRENGTH},
    "licence": "MIT",
}


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[httpx.Client]:
    """Serve an app on a free port; give a client for it."""
    # The protocol must be named: asyncio switches off Nagle's 40 ms only for what it sees to be TCP.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        # The socket listens already: a first request waits until the server is there.
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="package", params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database of each kind for all tests of this folder: `clean` empties it before each."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("api") / "restyle.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    name = server.create_database(template=request.getfixturevalue("postgres_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(scope="package")
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture(scope="package")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> CardShelf:
    """`reinhard` needs a style, `identity` takes none, `still` has one parameter, which no colour table can hold, and
    `finder` finds products.
    """
    cards = tmp_path_factory.mktemp("cards")
    for name, needs_style in (("reinhard", True), ("identity", False)):
        (cards / name).mkdir()
        card = CARD | {"name": name, "architecture": name, "needs_style": needs_style}
        (cards / name / "model.json").write_text(json.dumps(card))
    (cards / "still").mkdir()
    glow = {"type": "number", "description": "In places.", "default": 0, "minimum": 0, "maximum": 1, "local": True}
    still = CARD | {
        "name": "still",
        "architecture": "identity",
        "needs_style": False,
        "tables": True,
        "parameters": {"glow": glow},
    }
    (cards / "still" / "model.json").write_text(json.dumps(still))
    (cards / "finder").mkdir()
    finds = {"operation": "segment", "config": {"side_px": 320}, "weights_sha256": "0" * 64, "parameters": {}}
    finder = CARD | {"name": "finder", "architecture": "onnx"} | finds
    (cards / "finder" / "model.json").write_text(json.dumps(finder))
    return CardShelf(cards)


@pytest.fixture(scope="package")
def settings(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> ApiSettings:
    folder = tmp_path_factory.mktemp("service")
    return ApiSettings(
        database_url=SecretStr(database_url),
        storage_url=f"file://{folder}/storage",
        broker_url=SecretStr(f"redis+socket://{folder}/no-broker"),
    )


@pytest.fixture(scope="package")
def served(settings: ApiSettings, shelf: CardShelf) -> Iterator[httpx.Client]:
    with serving(create_app(settings, shelf=shelf)) as client:
        yield client


@pytest.fixture
def clean(database: Database, settings: ApiSettings) -> None:
    """Empty the database and the storage."""
    with database.transaction() as session:
        for table in reversed(Record.metadata.sorted_tables):
            session.execute(delete(table))
    shutil.rmtree(settings.storage_url.removeprefix("file://"), ignore_errors=True)


@pytest.fixture
def api(served: httpx.Client, clean: None) -> httpx.Client:
    return served


@pytest.fixture
def storage_folder(settings: ApiSettings, clean: None) -> Path:
    """The service's storage, with a catalogue of two objects and a manifest in it."""
    folder = Path(settings.storage_url.removeprefix("file://"))
    (folder / "catalogue" / "shoes").mkdir(parents=True)
    for number in range(2):
        (folder / "catalogue" / "shoes" / f"{number}.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "spring.csv").write_text("product_id,key\nP1,catalogue/shoes/0.jpg\n")
    return folder


@pytest.fixture
def job_request(storage_folder: Path) -> dict[str, Any]:
    """A request in which everything is in order."""
    return {
        "recipe": {"model": "identity"},
        "source": {"type": "prefix", "url": f"file://{storage_folder}/catalogue/"},
    }


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
