"""The end of a job: its output manifest, its errors file, its contact sheet, its outcome."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from jobs.database import Database, now, storable
from jobs.errors import LeaseLost, StorageError
from jobs.job_leases import LEASE_ATTEMPTS, JobLease, StepStopped, hold
from jobs.locations import Location
from jobs.manifests import BadRow, bad_row_line, encode_line, manifest_line
from jobs.moves import move
from jobs.output_keys import files_url
from jobs.records import BadRowRecord, ItemRecord, JobRecord, ResultRecord, ShardRecord
from jobs.states import ItemState, JobState, outcome_of
from jobs.storage import Storages

log = structlog.get_logger(__name__)

ERROR_MEMBERS = ("key", "product_id", "attributes", "item", "state", "error_code", "error_message")
PAGE = 2_000  # lines written between two renewals of the lease

Line = dict[str, Any]
Sheet = Callable[[JobRecord, Path], dict[str, str]]
"""Draw the contact sheet of a job into a folder; return media types by file name."""


def finish(database: Database, storages: Storages, lease: JobLease, *, draw_sheet: Sheet) -> None:
    """Write a job's files and end it.

    Safe to repeat: the files follow from the rows alone. When they cannot be written, at once for good or in the last
    try, the job ends all the same, with an error that says so: what became of each item is in the database.

    Raises:
        LeaseLost: another worker goes on with this.
        StepStopped: this process is about to end.
        Exception: the files could not be written this time; worth another try.
    """
    with database.transaction() as session:
        job = hold(session, lease)
    error = job.error
    try:
        with tempfile.TemporaryDirectory(prefix="restyle-") as folder:
            _write_files(database, storages, lease, job, Path(folder), draw_sheet)
    except (LeaseLost, StepStopped):
        raise
    except Exception as failure:
        permanent = isinstance(failure, StorageError) and not failure.retryable
        if not permanent and lease.attempt < LEASE_ATTEMPTS:
            raise
        log.error("job_files_refused", job_id=str(job.id), error=str(failure))
        message = storable(f"the job's files could not be written: {failure}")
        error = error or {"code": "files_not_written", "message": message}
    with database.transaction() as session:
        job = hold(session, lease)
        outcome = outcome_of(
            _counts(session, job.id),
            cancelled=job.cancelling_at is not None,
            failed=job.error is not None,
            expired=job.expired_at is not None,
        )
        move(session, job.id, JobState.ENDED, outcome=outcome, ended_at=now(session), error=error)
    log.info("job_ended", job_id=str(job.id), outcome=outcome.value)


def _counts(session: Session, job_id: uuid.UUID) -> dict[ItemState, int]:
    states = (ItemState.SUCCEEDED, ItemState.REUSED, ItemState.REJECTED, ItemState.FAILED, ItemState.CANCELLED)
    sums = [func.coalesce(func.sum(getattr(ShardRecord, f"{state.value}_count")), 0) for state in states]
    row = session.execute(select(*sums).where(ShardRecord.job_id == job_id)).one()
    return {state: int(count) for state, count in zip(states, row, strict=True)}


def _write_files(
    database: Database, storages: Storages, lease: JobLease, job: JobRecord, folder: Path, draw_sheet: Sheet
) -> None:
    with (folder / "manifest.jsonl").open("wb") as manifest, (folder / "errors.jsonl").open("wb") as errors:
        for line in _lines(database, lease, job):
            manifest.write(encode_line(line))
            if line["state"] in (ItemState.FAILED, ItemState.REJECTED, ItemState.CANCELLED):
                errors.write(manifest_line(**{name: line[name] for name in ERROR_MEMBERS}))
        for bad_row in _bad_rows(database, job.id):
            errors.write(bad_row_line(bad_row))
    media_types = {"manifest.jsonl": "application/x-ndjson", "errors.jsonl": "application/x-ndjson"}
    try:
        media_types |= draw_sheet(job, folder)
    except Exception:  # a picture of the job must not keep the job from ending
        log.exception("contact_sheet_failed", job_id=str(job.id))
    for name, media_type in media_types.items():
        location = Location.parse(files_url(job.output_url, job.id) + name)
        storages.at(location).upload(location.key, folder / name, media_type=media_type)


def _lines(database: Database, lease: JobLease, job: JobRecord) -> Iterator[Line]:
    """Yield a line per item, in order, a page of rows at a time."""
    after = -1
    while True:
        with database.transaction() as session:
            hold(session, lease)
        with database.reading() as session:
            rows = session.execute(
                select(ItemRecord, ResultRecord)
                .outerjoin(
                    ResultRecord,
                    and_(ResultRecord.job_id == ItemRecord.job_id, ResultRecord.item_no == ItemRecord.item_no),
                )
                .where(ItemRecord.job_id == job.id, ItemRecord.item_no > after)
                .order_by(ItemRecord.item_no)
                .limit(PAGE)
            ).all()
        for item, result in rows:
            yield _line(job, item, result)
        if len(rows) < PAGE:
            return
        after = rows[-1][0].item_no


def _line(job: JobRecord, item: ItemRecord, result: ResultRecord | None) -> Line:
    state = result.state if result else ItemState.PENDING
    written = state in (ItemState.SUCCEEDED, ItemState.REUSED, ItemState.REJECTED)
    return {
        "item": item.item_no,
        "product_id": item.product_id,
        "key": item.source_url,
        "output_key": f"{job.output_url.rstrip('/')}/{item.output_key}" if written else None,
        "state": state,
        "error_code": result.error_code if result else None,
        "error_message": result.error_message if result else None,
        "sha256": result.sha256 if result else None,
        "bytes": result.bytes if result else None,
        "width": result.width if result else None,
        "height": result.height if result else None,
        "milliseconds": result.milliseconds if result else None,
        "attributes": item.attributes or {},
    }


def _bad_rows(database: Database, job_id: uuid.UUID) -> Iterator[BadRow]:
    with database.reading() as session:
        rows = session.scalars(
            select(BadRowRecord)
            .where(BadRowRecord.job_id == job_id)
            .order_by(BadRowRecord.row_no)
            .execution_options(yield_per=PAGE)
        )
        for row in rows:
            yield BadRow(row_no=row.row_no, code=row.code, message=row.message, text=row.text)
