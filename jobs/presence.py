"""Presence: a lock per worker that Postgres drops with the worker's connection, so that a death shows at once.

The lock is an advisory one, taken by `hold` on a connection of the worker's own. It is a shared one: a worker whose
connection broke takes it again on the next one, also while the server still believes in the first. A lease carries
the key of its worker's lock, so whoever looks sees which leases have lost their worker.

A presence only ever shortens the wait for a lease's end. Without one, or through a pooler that hands every statement
to another connection, leases end by time.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, TextClause, select, text, update
from sqlalchemy.orm import Session

from jobs.database import now
from jobs.records import JobRecord, ShardRecord
from jobs.states import ShardState

# An advisory lock's key of 64 bits shows as two numbers of 32.
PRESENT = """
    SELECT (classid::bigint << 32) | objid::bigint AS key, pid FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Who is there, as the database sees it."""

    held: bool  # whether the looking connection itself holds its lock
    present_count: int
    absent: frozenset[int]  # keys of leases whose lock nobody holds


def key_of(worker_id: uuid.UUID) -> int:
    """Return the key of a worker's lock: positive, 62 bits."""
    return worker_id.int >> 66


def hold(connection: Connection, key: int) -> None:
    """Take the lock on a connection of its own. It lasts as long as the connection."""
    connection.execute(text("SELECT pg_advisory_lock_shared(:key)"), {"key": key})


def is_own(connection: Connection, session: Session) -> bool:
    """Whether a connection reaches one server process of its own, beside that of another open transaction.

    Through a pooler it may share it with others, or change it, and a lock would be no sign of life.
    """
    backend = text("SELECT pg_backend_pid()")
    first: int = connection.scalar(backend)
    other: int = session.scalar(backend)
    again: int = connection.scalar(backend)
    return first == again != other


def look(connection: Connection, key: int) -> Look:
    """Look around, in one statement, from the connection that holds `key`."""
    statement = text(f"""
        WITH present AS ({PRESENT})
        SELECT
            EXISTS (SELECT FROM present WHERE key = :key AND pid = pg_backend_pid()) AS held,
            (SELECT count(DISTINCT key) FROM present) AS present_count,
            ARRAY(
                SELECT presence_key FROM shards
                WHERE state = 'leased' AND presence_key IS NOT NULL AND presence_key NOT IN (SELECT key FROM present)
                UNION
                SELECT presence_key FROM jobs
                WHERE presence_key IS NOT NULL AND presence_key NOT IN (SELECT key FROM present)
            ) AS absent
    """)  # noqa: S608  # made of constants
    row = connection.execute(statement, {"key": key}).one()
    return Look(held=row.held, present_count=row.present_count, absent=frozenset(row.absent))


def expire_shard_leases(session: Session, keys: Collection[int]) -> frozenset[str]:
    """Let the leases on shards end now whose workers are gone. Return the queues in which there is work to rescue."""
    job_ids = session.scalars(
        update(ShardRecord)
        .where(ShardRecord.state == ShardState.LEASED, ShardRecord.presence_key.in_(keys), _gone())
        .values(lease_expires_at=now(session), presence_key=None)
        .returning(ShardRecord.job_id)
        .execution_options(synchronize_session=False)
    ).all()
    return frozenset(session.scalars(select(JobRecord.queue).where(JobRecord.id.in_(job_ids)).distinct()))


def expire_job_leases(session: Session, keys: Collection[int]) -> frozenset[str]:
    """Let the leases on whole jobs end now whose workers are gone. Return the queues of those jobs.

    Not in the transaction of `expire_shard_leases`: others lock a job before its shards.
    """
    queues = session.scalars(
        update(JobRecord)
        .where(JobRecord.presence_key.in_(keys), _gone())
        .values(lease_expires_at=now(session), presence_key=None)
        .returning(JobRecord.queue)
        .execution_options(synchronize_session=False)
    )
    return frozenset(queues)


def _gone() -> TextClause:
    return text(f"presence_key NOT IN (SELECT key FROM ({PRESENT}) AS present)")  # noqa: S608  # made of constants
