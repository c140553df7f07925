"""The schema: what the migrations make is what the records say, on both databases, up and down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from jobs.database import Database
from jobs.records import Record
from jobs.states import CancelMode, DeliveryState, ItemState, JobOutcome, JobState, ShardState
from migrations import config, upgrade


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[Engine]:
    """A database without tables."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/empty.db")
        yield database.engine
        database.close()
        return
    server = request.getfixturevalue("postgres_server")
    name = server.create_database()
    database = Database(server.url(name))
    yield database.engine
    database.close()
    server.drop_database(name)


def downgrade(engine: Engine) -> None:
    alembic = config()
    with engine.connect() as connection, connection.begin():
        alembic.attributes["connection"] = connection
        command.downgrade(alembic, "base")


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def test_up_down_and_up_again(empty: Engine) -> None:
    upgrade(empty)
    assert tables(empty) == set(Record.metadata.tables)
    downgrade(empty)
    assert tables(empty) == set()
    upgrade(empty)
    upgrade(empty)
    assert tables(empty) == set(Record.metadata.tables)


def test_the_migrations_make_what_the_records_say(empty: Engine) -> None:
    upgrade(empty)
    alembic = config()
    with empty.connect() as connection, connection.begin():
        alembic.attributes["connection"] = connection
        command.check(alembic)


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(config()).get_heads()) == 1


def test_the_databases_know_exactly_the_states_that_the_code_knows(empty: Engine) -> None:
    upgrade(empty)
    constraints = {
        constraint["name"]: constraint["sqltext"]
        for table in tables(empty)
        for constraint in inspect(empty).get_check_constraints(table)
    }
    enums = {
        "ck_jobs_state": JobState,
        "ck_jobs_outcome": JobOutcome,
        "ck_shards_state": ShardState,
        "ck_results_state": ItemState,
        "ck_jobs_cancel_mode": CancelMode,
        "ck_webhook_deliveries_state": DeliveryState,
    }
    for name, enum in enums.items():
        quoted = set(str(constraints[name]).split("'")[1::2])
        assert quoted == {member.value for member in enum}, name


def test_sqlite_holds_foreign_keys(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.engine.connect() as connection:
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    database.close()
