"""Sessions and transactions. The only module that commits.

On SQLite every writing transaction starts with BEGIN IMMEDIATE: a deferred one that turns into a writer half-way
fails at once with "database is locked" instead of waiting for its turn.
"""

from __future__ import annotations

import datetime
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NewType

import psycopg
from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
    insert,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, PoolProxiedConnection
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.schema import Table

from jobs.copy_text import copy_text
from jobs.records import Record, UtcDateTime

ReadSession = NewType("ReadSession", Session)

# What a database raises that is away, starting, full, or has given up this connection: the same may succeed later.
AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)

POSTGRES: dict[str, str | int] = {
    "application_name": "restyle",
    "connect_timeout": 10,
    # A worker that is stopped in the middle of a transaction keeps its row locks, and a locked shard is skipped by
    # every claim. Our transactions do nothing but talk to the database, so one that is idle this long is a zombie's.
    "options": "-c idle_in_transaction_session_timeout=5s -c lock_timeout=30s",
    "keepalives_idle": 5,  # half-open connections are noticed within about 11 seconds
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 11_000,  # ms; also those with data under way, for which the kernel sends no keepalives
}
# So a host that vanished is noticed by the server too, within about 11 seconds: it holds a lock for that host.
SERVER_KEEPALIVES = (
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=11s"
)
COPY_ROWS = 1024  # sent at a time
SILENT_SECONDS = 1.0  # after which a pooled connection is asked whether it lives
SQLITE_BUSY_SECONDS = 60  # longer than any transaction of ours; a waiting writer must outlast a burst of others


class Database:
    """One pool of connections. Safe to share between threads."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            self.engine = _sqlite_engine(url, Path(parsed.database or ""))
        else:
            self.engine = create_engine(
                url,
                pool_size=pool_size,
                pool_timeout=15,
                connect_args=POSTGRES,
            )
            _ping_after_silence(self.engine)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Commit when the block ends, roll back when it raises."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[ReadSession]:
        """Give a session that never writes; on SQLite it waits for no writer.

        On Postgres each statement sees what was committed before it, so that no transaction around them is needed.
        """
        options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}
        if self.engine.dialect.name == "sqlite":
            options = {"sqlite_begin": "BEGIN DEFERRED"}
        with self.engine.connect().execution_options(**options) as connection, Session(connection) as session:
            yield ReadSession(session)

    @contextmanager
    def lone_connection(self) -> Iterator[Connection]:
        """Open a Postgres connection beside the pool, each statement its own transaction; closed after the block."""
        options = f"{POSTGRES['options']}{SERVER_KEEPALIVES}"
        engine = create_engine(
            self.engine.url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={**POSTGRES, "options": options},
        )
        with engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _ping_after_silence(engine: Engine) -> None:
    """Replace connections that died while nobody used them, before they are lent again.

    As `pool_pre_ping`, but for connections that were in use a moment ago: to ask costs as much as a statement.
    """

    @event.listens_for(engine, "checkin")
    def _note(_connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ping(connection: DBAPIConnection, entry: ConnectionPoolEntry, _lent: PoolProxiedConnection) -> None:
        used_at = entry.info.get("used_at")
        if used_at is None or time.monotonic() - used_at < SILENT_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error


def _sqlite_engine(url: str, path: Path) -> Engine:
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver must not begin transactions on its own
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN IMMEDIATE"))

    return engine


class clock(FunctionElement[datetime.datetime]):  # noqa: N801  # reads as a function of SQL
    """The database's clock as a part of a statement."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(clock, "postgresql")
def _clock_of_postgres(*_: object, **__: object) -> str:
    return "clock_timestamp()"


@compiles(clock, "sqlite")
def _clock_of_sqlite(*_: object, **__: object) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


_NOW = select(clock())


def now(session: Session) -> datetime.datetime:
    """Return the database's clock, the only one that decides leases."""
    return session.execute(_NOW).scalar_one()


def storable(text: str) -> str:
    """Return text that every database takes: no NUL, no half characters. What others' messages say may hold both."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def append(session: Session, record: type[Record], rows: Iterable[Mapping[str, Any]]) -> None:
    """Append many rows at once: COPY on Postgres, one prepared statement on SQLite.

    Each row names the same columns. Nothing is returned and no defaults of the record are applied. Making the rows must
    need no statement on the same connection: the server takes them in while further ones are being made.
    """
    parts = _parts(rows)
    first = next(parts, None)
    if first is None:
        return
    connection = session.connection()
    table = record.__table__
    assert isinstance(table, Table)
    if connection.dialect.name != "postgresql":
        for part in itertools.chain([first], parts):
            session.execute(insert(table), part)
        return
    names = list(first[0])
    driver = connection.connection.driver_connection
    assert driver is not None
    columns = ", ".join(f'"{name}"' for name in names)
    statement = f"COPY {table.name} ({columns}) FROM STDIN"
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for part in itertools.chain([first], parts):
                copy.write(copy_text(table, names, part))
    except psycopg.Error as error:  # beside SQLAlchemy's own execution, so beside its own wrapping too
        raise DBAPIError.instance(statement, None, error, psycopg.Error, dialect=connection.dialect) from error


def _parts(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    iterator = iter(rows)
    while part := list(itertools.islice(iterator, COPY_ROWS)):
        yield part


def append_missing(session: Session, record: type[Record], rows: Sequence[Mapping[str, Any]]) -> None:
    """Append the rows whose keys are not there yet, and leave those that are as they are."""
    postgres = isinstance(session.get_bind().dialect, PGDialect)
    appending = postgresql.insert(record) if postgres else sqlite.insert(record)
    session.execute(appending.on_conflict_do_nothing(), list(rows))
