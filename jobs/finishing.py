"""The end of a job: its output manifest, its errors file, its engines, its contact sheet, its outcome."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from jobs.database import Database, now, storable
from jobs.engines import engine_facts
from jobs.errors import LeaseLost, StorageError
from jobs.expiry import expires_at
from jobs.job_leases import LEASE_ATTEMPTS, JobLease, StepStopped, hold, kept
from jobs.locations import Location
from jobs.manifests import encode_line
from jobs.moves import move
from jobs.output_keys import files_url
from jobs.records import JobRecord
from jobs.result_lines import ERROR_STATES, Line, bad_row_lines, error_line, item_rows, line_of
from jobs.states import JobState, outcome_of
from jobs.storage import Storages
from jobs.sums import counts_of

log = structlog.get_logger(__name__)

PAGE = 2_000  # lines written between two renewals of the lease

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
        with tempfile.TemporaryDirectory(prefix="restyle-") as folder, kept(database, lease):
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
            counts_of(session, job.id),
            bad_rows=job.bad_row_count,
            cancelled=job.cancelling_at is not None,
            failed=job.error is not None,
            expired=job.expired_at is not None,
        )
        moment = now(session)
        until = expires_at(job, moment)
        move(session, job.id, JobState.ENDED, outcome=outcome, ended_at=moment, expires_at=until, error=error)
    log.info("job_ended", job_id=str(job.id), outcome=outcome.value)


def _write_files(
    database: Database, storages: Storages, lease: JobLease, job: JobRecord, folder: Path, draw_sheet: Sheet
) -> None:
    engines: set[str] = set()
    with (folder / "manifest.jsonl").open("wb") as manifest, (folder / "errors.jsonl").open("wb") as errors:
        for line in _lines(database, lease, job):
            manifest.write(encode_line(line))
            if line["engine"] is not None:
                engines.add(line["engine"])
            if line["state"] in ERROR_STATES:
                errors.write(error_line(line))
        for notes in bad_row_lines(database, job.id):
            errors.write(notes)
    with database.reading() as session:
        facts = engine_facts(session, engines)
    (folder / "engines.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    media_types = {
        "manifest.jsonl": "application/x-ndjson",
        "errors.jsonl": "application/x-ndjson",
        "engines.json": "application/json",
    }
    try:
        media_types |= draw_sheet(job, folder)
    except Exception:  # a picture of the job must not keep the job from ending
        log.exception("contact_sheet_failed", job_id=str(job.id))
    for name, media_type in media_types.items():
        location = Location.parse(files_url(job.output_url, job.id) + name)
        storages.at(location).upload(location.key, folder / name, media_type=media_type)


def _lines(database: Database, lease: JobLease, job: JobRecord) -> Iterator[Line]:
    """Yield a line per item, in order, a page of rows at a time."""
    for first in range(0, job.planned_item_count, PAGE):
        with database.transaction() as session:
            hold(session, lease)
        with database.reading() as session:
            rows = item_rows(session, job.id, first, first + PAGE)
        for item, result in rows:
            yield line_of(job, item, result)
