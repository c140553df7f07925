"""Real servers for every test that asks for one: started at the first request, once a session."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from jobs.database import Database
from migrations import upgrade
from tests import servers
from tests.nursery import Nursery

# As in worker/__init__.py; tests may load torch before it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Where pytest makes the folders of tests, SQLite's databases among them.
if (memory := servers.in_memory()) is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = ["tests.places"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many run beside each other: one more than there are cores, because most wait for processes."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    with servers.server_folder(servers.in_memory() or servers.DISK) as folder:
        yield folder


@pytest.fixture(scope="session")
def nursery(servers_folder: Path) -> Iterator[Nursery]:
    with Nursery(servers_folder) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[servers.Postgres]:
    with servers.Postgres(servers_folder) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: servers.Postgres) -> str:
    """The name of the database that every test's database is copied from: migrated, and empty."""
    name = postgres_server.create_database()
    database = Database(postgres_server.url(name))
    upgrade(database.engine)
    database.close()
    return name


@pytest.fixture
def postgres_url(postgres_server: servers.Postgres, postgres_template: str) -> Iterator[str]:
    """A database of the test's own, as an SQLAlchemy URL; dropped afterwards."""
    database = postgres_server.create_database(template=postgres_template)
    yield postgres_server.url(database)
    postgres_server.drop_database(database)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that every test's SQLite database is copied from: migrated, and empty."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    upgrade(database.engine)
    database.close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An SQLite database of the test's own, as an SQLAlchemy URL."""
    shutil.copy(sqlite_template, tmp_path / "restyle.db")
    return f"sqlite:///{tmp_path / 'restyle.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of the test's own; a test that uses it runs once on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def broker_server(servers_folder: Path) -> Iterator[servers.Broker]:
    with servers.Broker(servers_folder) as server:
        yield server


@pytest.fixture
def broker_url(broker_server: servers.Broker) -> str:
    """The running broker, as a Celery URL."""
    return broker_server.url


@pytest.fixture(scope="session")
def s3_server(servers_folder: Path) -> Iterator[servers.S3]:
    with servers.S3(servers_folder) as server:
        yield server
