"""Planning: a source becomes items and shards, as a stream, in chunks.

Each chunk is one transaction that also moves the cursor, so a planner that dies is followed by one that goes on
where it stopped: no row is planned twice, none is left out. Memory does not grow with the source.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import LargeBinary, column, select, values
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jobs import events
from jobs.cards import CardShelf
from jobs.database import Database, append, now
from jobs.job_leases import JobLease, hold
from jobs.locations import MAX_KEY_BYTES, Location
from jobs.maintenance import start_finishing
from jobs.moves import fail, move
from jobs.output_keys import disambiguate, fold, output_key
from jobs.recipes import CountSource, JobRequest, JobSource, Recipe, Source, starts_while_planned
from jobs.records import BadRowRecord, ItemRecord, JobRecord, ShardRecord
from jobs.source_rows import Entry, PassedOver, Refused, read_source
from jobs.states import JobState, ShardState
from jobs.storage import Storages
from jobs.wished_rows import Wished

log = structlog.get_logger(__name__)

SHARD_ITEMS = 128  # small enough to share a small job, large enough that claims cost nothing beside the work
LARGE_JOB_ITEMS = 128 * SHARD_ITEMS  # from here on there is enough to share: half the claims do
LARGE_SHARD_ITEMS = 2 * SHARD_ITEMS
CHUNK_ITEMS = 64 * SHARD_ITEMS  # per transaction
CHUNK_ROWS = 2 * CHUNK_ITEMS  # rows read at most before what was found is committed
BAD_ROWS_NAMED = 100  # in a job's error
RINGS = 8  # workers woken at once

Ring = Callable[[str, int], None]
"""Wake up to so many workers of a queue."""


@dataclass(slots=True)
class _Chunk:
    """What one transaction appends."""

    entries: list[Entry] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    passed_over: int = 0
    cursor: str | None = None
    last: bool = False


class _Stopped(Exception):
    """The job is not to be planned any further."""


def plan(
    database: Database,
    storages: Storages,
    lease: JobLease,
    *,
    shelf: CardShelf,
    allowed: Iterable[str],
    ring: Ring,
) -> None:
    """Plan a job from its cursor to the end of its source.

    Raises:
        LeaseLost: another worker goes on with this.
        SourceRefused, ObjectMissing, AccessDenied: the source cannot be planned.
        InvalidRequest: the model that is to generate is not on the shelf.
        StorageError: storage did not answer; worth another try.
    """
    with database.transaction() as session:
        job = hold(session, lease)
    planner = _Planner(database, lease, job, ring)
    rows = read_source(
        planner.source,
        storages,
        database,
        cursor=job.plan_cursor,
        output_url=job.output_url,
        allowed=tuple(allowed),
        trained=planner.trained,
        wished=_wished(planner.recipe, shelf),
    )
    try:
        for chunk in _chunks(rows):
            planner.append(chunk)
    except _Stopped:
        log.info("planning_stopped", job_id=str(job.id))


def _wished(recipe: Recipe, shelf: CardShelf) -> Wished | None:
    if recipe.operation != "generate":
        return None
    card = shelf.get(recipe.model, operation="generate")
    return Wished(card=card, attributes=recipe.attributes, rules=recipe.rules, seed=recipe.seed)


def _chunks(rows: Iterator[Entry | Refused | PassedOver]) -> Iterator[_Chunk]:
    """Divide rows; the last chunk may be empty."""
    chunk, count = _Chunk(), 0
    for row in rows:
        if isinstance(row, Entry):
            chunk.entries.append(row)
        elif isinstance(row, Refused):
            chunk.refused.append(row)
        else:
            chunk.passed_over += 1
        chunk.cursor, count = row.cursor, count + 1
        if len(chunk.entries) == CHUNK_ITEMS or count == CHUNK_ROWS:
            yield chunk
            chunk, count = _Chunk(), 0
    chunk.last = True
    yield chunk


class _Planner:
    """One job being planned."""

    def __init__(self, database: Database, lease: JobLease, job: JobRecord, ring: Ring) -> None:
        self._database = database
        self._lease = lease
        self._ring = ring
        request = JobRequest.model_validate({"recipe": job.recipe, "source": job.source})
        self.source: Source = request.source
        self.recipe = request.recipe
        self.trained = self.recipe.model if self.recipe.operation == "train" else None
        self._extension = self.recipe.format.extension.removeprefix(".")
        self._key_bytes = MAX_KEY_BYTES - len(Location.parse(job.output_url).as_prefix().key.encode())
        self._strict = not starts_while_planned(job.source)
        self._look_up_keys = False

    def append(self, chunk: _Chunk) -> None:
        try:
            self._append(chunk)
        except IntegrityError:
            # A key that an earlier chunk has taken: rare, so it is the unique index that finds the first one.
            if self._look_up_keys:
                raise
            self._look_up_keys = True
            self._append(chunk)

    def _append(self, chunk: _Chunk) -> None:
        with self._database.transaction() as session:
            job = self._hold(session)
            job.plan_cursor = chunk.cursor or job.plan_cursor
            job.passed_over_count += chunk.passed_over
            self._append_refused(session, job, chunk.refused)
            shards = 0
            # A strict job with a bad row cannot run: of the rest only the bad rows are counted.
            if chunk.entries and not (self._strict and job.bad_row_count):
                shards = self._append_items(session, job, chunk.entries)
            session.flush()
            runs = bool(shards) and not self._strict and not job.require_confirmation
            if runs:  # nothing further can keep these from running
                move(session, job.id, JobState.QUEUED, only_from={JobState.PLANNING})
            if chunk.last:
                runs, shards = self._end(session, job), job.planned_shard_count
        if chunk.last:
            log.info("job_planned", job_id=str(job.id), items=job.planned_item_count, bad_rows=job.bad_row_count)
            if job.started_at is not None:  # then its last item may have settled before this was its last
                with self._database.transaction() as session:
                    start_finishing(session, job.id)
        if runs:
            self._ring(job.queue, min(shards, RINGS))

    def _end(self, session: Session, job: JobRecord) -> bool:
        """Let a job be planned. Return whether it can run, by now or when it is confirmed."""
        job.planned_at = now(session)
        session.flush()
        refusal = self._refusal(session, job)
        if refusal is not None:
            fail(session, job.id, **refusal)
        elif job.require_confirmation:
            _await_confirmation(session, job)
        else:
            move(session, job.id, JobState.QUEUED, only_from={JobState.PLANNING})
        return refusal is None

    def _hold(self, session: Session) -> JobRecord:
        job = hold(session, self._lease, progress=True)
        if job.state in (JobState.CANCELLING, JobState.FINISHING, JobState.ENDED):
            raise _Stopped
        return job

    def _refusal(self, session: Session, job: JobRecord) -> dict[str, Any] | None:
        """Say why the planned job must not run, if so."""
        if self._strict and job.bad_row_count:
            rows = session.scalars(
                select(BadRowRecord).where(BadRowRecord.job_id == job.id).order_by(BadRowRecord.row_no)
            )
            named = [{"row_no": row.row_no, "code": row.code, "message": row.message} for row in rows]
            message = (
                f"{job.bad_row_count} rows of the manifest are unusable, the first in line {named[0]['row_no']}: mend "
                'them, or send the job with "on_bad_row": "skip"'
            )
            return {"code": "bad_rows", "message": message, "rows": named}
        if job.planned_item_count == 0:
            assert not isinstance(self.source, CountSource)
            place = f"job {self.source.job_id}" if isinstance(self.source, JobSource) else self.source.url
            unusable = (
                f": none of its {job.bad_row_count} rows is usable, see the errors file" if job.bad_row_count else ""
            )
            return {"code": "source_empty", "message": f"there is no picture in {place}{unusable}"}
        return None

    def _append_refused(self, session: Session, job: JobRecord, refused: list[Refused]) -> None:
        keep = max(0, BAD_ROWS_NAMED - job.bad_row_count) if self._strict else len(refused)
        job.bad_row_count += len(refused)
        rows = [
            {"job_id": job.id, "row_no": row.row_no, "code": row.code, "message": row.message, "text": row.text}
            for row in refused[:keep]
        ]
        append(session, BadRowRecord, rows)

    def _append_items(self, session: Session, job: JobRecord, entries: list[Entry]) -> int:
        """Append items and the shards over them. Return how many shards."""
        first = job.planned_item_count
        end = first + len(entries)
        rows = self._item_rows(session, job.id, first, entries)
        append(session, ItemRecord, list(rows) if self._look_up_keys else rows)
        shards = [
            _shard_row(job.id, shard_no, *run)
            for shard_no, run in enumerate(_runs(first, end), start=job.planned_shard_count)
        ]
        append(session, ShardRecord, shards)
        job.planned_item_count = end
        job.planned_shard_count += len(shards)
        return len(shards)

    def _item_rows(
        self, session: Session, job_id: uuid.UUID, first: int, entries: list[Entry]
    ) -> Iterator[dict[str, Any]]:
        """Give each entry its number and an output key that no other item of the job has."""
        taken = _taken(session, job_id, [fold(self._key(entry)) for entry in entries]) if self._look_up_keys else set()
        for item_no, entry in enumerate(entries, start=first):
            key = self._key(entry)
            digest = fold(key)
            if digest in taken:
                key, digest = self._free_key(session, job_id, item_no, entry, key, taken)
            taken.add(digest)
            yield {
                "job_id": job_id,
                "item_no": item_no,
                "product_id": entry.product_id,
                "source_url": entry.source_url,
                "output_key": key,
                "output_key_digest": digest,
                "attributes": entry.attributes or None,
            }

    def _key(self, entry: Entry) -> str:
        return entry.output_key or output_key(entry.relative, self._extension, max_bytes=self._key_bytes)

    def _free_key(
        self, session: Session, job_id: uuid.UUID, item_no: int, entry: Entry, key: str, taken: set[bytes]
    ) -> tuple[str, bytes]:
        """Return the first key beside `key` that no item has, and its digest."""
        for tries in itertools.count(1):
            free = disambiguate(key, entry.source_url, item_no, tries)
            digest = fold(free)
            if digest not in taken and not (self._look_up_keys and _taken(session, job_id, [digest])):
                return free, digest
        raise AssertionError


def _await_confirmation(session: Session, job: JobRecord) -> None:
    """Let a planned job wait until a person resumes it, also one that was paused before."""
    message = f"{job.planned_item_count} items are ready: resume the job to run them, or cancel it"
    reason = {"code": "confirmation_required", "message": message}
    if move(session, job.id, JobState.PAUSED, paused_at=now(session), pause_reason=reason):
        return
    job.pause_reason = reason
    job.version += 1
    session.flush()
    events.record(session, job.tenant_id, job.id, "job.paused", actor="service", reason=reason)


def _runs(first_item_no: int, end_item_no: int) -> Iterator[tuple[int, int]]:
    """Divide items among shards: yield the first item of each and the one behind its last."""
    while first_item_no < end_item_no:
        size = SHARD_ITEMS if first_item_no < LARGE_JOB_ITEMS else LARGE_SHARD_ITEMS
        behind = min(first_item_no + size, end_item_no)
        yield first_item_no, behind
        first_item_no = behind


def _taken(session: Session, job_id: uuid.UUID, digests: list[bytes]) -> set[bytes]:
    """Return those of the digests that items of the job have."""
    # A join, not IN: Postgres looks each one up in the index, where it compared every item with a list of a thousand.
    rows = values(column("digest", LargeBinary), name="rows").data([(digest,) for digest in digests])
    wanted = rows.cte("wanted")
    found = select(ItemRecord.output_key_digest).join(wanted, wanted.c.digest == ItemRecord.output_key_digest)
    return set(session.scalars(found.where(ItemRecord.job_id == job_id)))


def _shard_row(job_id: uuid.UUID, shard_no: int, first_item_no: int, end_item_no: int) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "shard_no": shard_no,
        "first_item_no": first_item_no,
        "end_item_no": end_item_no,
        "item_count": end_item_no - first_item_no,
        "state": ShardState.READY,
        "attempt": 0,
        "lease_token": 0,
        "postponed_count": 0,
        "succeeded_count": 0,
        "reused_count": 0,
        "rejected_count": 0,
        "failed_count": 0,
        "cancelled_count": 0,
        "measures": None,
    }
