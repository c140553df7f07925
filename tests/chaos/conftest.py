"""Two grounds for chaos, one per kind of database, each shared by all its tests."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.database import Database
from migrations import upgrade
from tests.chaos.fleet import Fleet
from tests.chaos.ground import LEASE_SECONDS, Ground, dice
from tests.nursery import Nursery
from tests.servers import Broker, Postgres
from tests.system.processes import Settings, shelf_of

CALM_ITEMS = 1_024


@pytest.fixture(scope="session")
def own_postgres(servers_folder: Path) -> Iterator[Postgres]:
    """A Postgres that may be killed."""
    with Postgres(servers_folder) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_ground(servers_folder: Path, own_postgres: Postgres, nursery: Nursery) -> Iterator[Ground]:
    name = own_postgres.create_database()
    database = Database(own_postgres.url(name))
    upgrade(database.engine)
    database.close()
    yield from _ground(servers_folder, own_postgres.url(name), nursery)


@pytest.fixture(scope="session")
def sqlite_ground(servers_folder: Path, sqlite_template: Path, nursery: Nursery) -> Iterator[Ground]:
    path = Path(tempfile.mkdtemp(prefix="sqlite-", dir=servers_folder)) / "restyle.db"
    shutil.copy(sqlite_template, path)
    yield from _ground(servers_folder, f"sqlite:///{path}", nursery)


def _ground(parent: Path, database_url: str, nursery: Nursery) -> Iterator[Ground]:
    folder = Path(tempfile.mkdtemp(prefix="ground-", dir=parent))
    with Broker(parent) as broker:
        settings = Settings(
            database_url=database_url,
            broker_url=broker.url,
            storage_url=f"file://{folder / 'storage'}",
            allowed_prefixes=f"file://{folder / 'shop'}/",
            extra={
                "RESTYLE_MODELS_DIR": shelf_of(folder, "unchanged"),
                "RESTYLE_LEASE_SECONDS": str(LEASE_SECONDS),
                "RESTYLE_POLL_SECONDS": "0.2",
                "RESTYLE_READ_THREADS": "4",
                "RESTYLE_MODEL_THREADS": "1",
                "RESTYLE_WRITE_THREADS": "4",
            },
        )
        ground = Ground(folder, settings, broker, nursery, parent)
        ground.open()
        try:
            ground.run_calmly(CALM_ITEMS)
            yield ground
        finally:
            ground.close()


@pytest.fixture(params=["sqlite", "postgres"])
def ground(request: pytest.FixtureRequest) -> Ground:
    found: Ground = request.getfixturevalue(f"{request.param}_ground")
    return found


@pytest.fixture
def fleet(ground: Ground) -> Iterator[Fleet]:
    """No worker yet; none is left."""
    made = ground.fleet()
    yield made
    made.kill()


@pytest.fixture
def chance() -> random.Random:
    return dice()
