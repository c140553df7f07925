"""A job's results in parts, readable while it runs. A part is the items of one ended shard, and never changes.

All parts together are the job's manifest: the ranges of shards are disjoint and complete, also after a halving, and
the lines are those of `jobs.result_lines`. The digest of a part is kept from the first time that somebody asks.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, and_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jobs.database import Database, append_missing
from jobs.errors import NotFound
from jobs.manifests import encode_line
from jobs.queries import find_job, troubled_page
from jobs.records import JobRecord, ResultPartRecord, ShardRecord
from jobs.result_lines import ERROR_STATES, bad_row_lines, error_line, item_rows, line_of
from jobs.states import JobState, ShardState
from jobs.tenants import Tenant

ERRORS_PAGE = 1_000  # lines of a stream that are held at once
COMPLETE = frozenset({JobState.FINISHING, JobState.ENDED})  # states in which every item is settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is known about a part without its lines."""

    no: int  # of its shard
    first_item_no: int
    item_count: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPage:
    """Some parts in the order of their numbers."""

    complete: bool  # every part of the job is there, on this page or another
    parts: Sequence[Part]
    more: bool  # whether there are more behind these


def part_page(
    database: Database, tenant: Tenant, job_id: uuid.UUID, *, after: int | None = None, limit: int
) -> PartPage:
    """Return up to `limit` parts behind part `after`. Digests that nobody asked for before are worked out.

    Parts are numbered 0, 1, 2 … without gaps, and end in any order: who follows a running job goes on behind the last
    number up to which he has them all.

    Raises:
        NotFound: the tenant has no such job.

    """
    behind = -1 if after is None else after
    with database.reading() as session:
        job = find_job(session, tenant, job_id)  # before the shards: when it is complete, they have all ended
        rows = session.execute(_ended(job_id).where(ShardRecord.shard_no > behind).limit(limit + 1)).all()
        page = rows[:limit]
        fresh = [_digested(session, job, row[0]) for row in page if row[1] is None]
    _keep(database, job_id, fresh)
    known = {part.no: part for part in fresh} | {row[0].shard_no: _kept(*row) for row in page if row[1] is not None}
    parts = [known[row[0].shard_no] for row in page]
    return PartPage(complete=job.state in COMPLETE, parts=parts, more=len(rows) > limit)


def read_part(database: Database, tenant: Tenant, job_id: uuid.UUID, no: int) -> tuple[Part, bytes]:
    """Return a part with its lines.

    Raises:
        NotFound: the tenant has no such job, or its shard of this number has not ended.

    """
    with database.reading() as session:
        job = find_job(session, tenant, job_id)
        row = session.execute(_ended(job_id).where(ShardRecord.shard_no == no)).one_or_none()
        if row is None:
            raise NotFound(f"there is no part {no} of job {job_id} yet")
        body = _body(session, job, row[0])
    return _part(row[0], len(body), hashlib.sha256(body).hexdigest()), body


def error_lines(database: Database, tenant: Tenant, job_id: uuid.UUID) -> Iterator[bytes]:
    """Return the errors file of what has failed so far, a page at a time; each page is read when it is asked for.

    What fails behind the reader while he reads may be missing; what had failed before he began is there.

    Raises:
        NotFound: the tenant has no such job. It is raised here, not when the first page is asked for.

    """
    with database.reading() as session:
        job = find_job(session, tenant, job_id)
    return _error_pages(database, job)


def _error_pages(database: Database, job: JobRecord) -> Iterator[bytes]:
    after, more = -1, True
    while more:
        with database.reading() as session:
            page = troubled_page(session, job.id, states=ERROR_STATES, after=after, limit=ERRORS_PAGE)
        if page.rows:
            yield b"".join(error_line(line_of(job, status.item, status.result)) for status in page.rows)
            after = page.rows[-1].item.item_no
        more = page.more
    yield from bad_row_lines(database, job.id)


def _ended(job_id: uuid.UUID) -> Select[ShardRecord, ResultPartRecord]:
    return (
        select(ShardRecord, ResultPartRecord)
        .outerjoin(
            ResultPartRecord,
            and_(ResultPartRecord.job_id == ShardRecord.job_id, ResultPartRecord.shard_no == ShardRecord.shard_no),
        )
        .where(ShardRecord.job_id == job_id, ShardRecord.state == ShardState.ENDED)
        .order_by(ShardRecord.shard_no)
    )


def _body(session: Session, job: JobRecord, shard: ShardRecord) -> bytes:
    rows = item_rows(session, job.id, shard.first_item_no, shard.end_item_no)
    return b"".join(encode_line(line_of(job, item, result)) for item, result in rows)


def _digested(session: Session, job: JobRecord, shard: ShardRecord) -> Part:
    body = _body(session, job, shard)
    return _part(shard, len(body), hashlib.sha256(body).hexdigest())


def _kept(shard: ShardRecord, record: ResultPartRecord) -> Part:
    return _part(shard, record.bytes, record.sha256)


def _part(shard: ShardRecord, size: int, sha256: str) -> Part:
    # The range, not the shard's own count: after a halving it may answer for items beyond its range.
    count = shard.end_item_no - shard.first_item_no
    return Part(no=shard.shard_no, first_item_no=shard.first_item_no, item_count=count, bytes=size, sha256=sha256)


def _keep(database: Database, job_id: uuid.UUID, parts: Sequence[Part]) -> None:
    """Keep digests. Of several askers at once the first one's are kept, which are those of all."""
    if not parts:
        return
    rows = [{"job_id": job_id, "shard_no": part.no, "sha256": part.sha256, "bytes": part.bytes} for part in parts]
    with contextlib.suppress(IntegrityError), database.transaction() as session:  # the job may go at this moment
        append_missing(session, ResultPartRecord, rows)
