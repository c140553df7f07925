"""Draws a finished job's contact sheet: pictures before and after, spread evenly over the catalogue."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from jobs.database import Database, ReadSession, now
from jobs.errors import JobsError
from jobs.locations import Location
from jobs.records import ItemRecord, JobRecord, ResultRecord
from jobs.source_urls import is_made
from jobs.states import ItemState
from jobs.storage import Storages
from jobs.sums import counts_of
from jobs.wishes import is_wish, read_wish
from worker.contact_sheet import THUMBNAIL_PX, Entry, render
from worker.images import PictureLimits, thumbnail

PICTURES = 24
FAILURES = 50  # named below the pictures


def draw_sheet(
    database: Database, storages: Storages, limits: PictureLimits, job: JobRecord, folder: Path
) -> dict[str, str]:
    """Write contact-sheet.html and contact-sheet.png into a folder; return their media types by name."""
    with database.reading() as session:
        succeeded = _spread(session, job)
        failed = _failed(session, job)
        facts = _facts(session, job)
    html, png = render(
        (entry for entry in map(functools.partial(_entry, storages, limits, job), succeeded) if entry is not None),
        title=" → ".join(
            " · ".join(filter(None, (step["model"], step.get("style"))))
            for step in (job.recipe, *job.recipe.get("then", ()))
        ),
        facts=facts,
        failures=failed,
    )
    (folder / "contact-sheet.html").write_bytes(html)
    (folder / "contact-sheet.png").write_bytes(png)
    return {"contact-sheet.html": "text/html; charset=utf-8", "contact-sheet.png": "image/png"}


def _facts(session: ReadSession, job: JobRecord) -> dict[str, str]:
    """Say in a few words what was asked for, and what came of it."""
    count = counts_of(session, job.id)[ItemState.SUCCEEDED]
    facts = {name: str(value) for name, value in job.recipe["parameters"].items()}
    facts["succeeded"] = f"{count} of {job.planned_item_count}"
    if job.started_at is not None and count:
        seconds = max(0.1, (now(session) - job.started_at).total_seconds())
        facts["took"] = f"{seconds:.1f} s, {count / seconds:.1f} pictures a second"
    return facts


def _spread(session: ReadSession, job: JobRecord) -> Sequence[tuple[ItemRecord, ResultRecord]]:
    """Pick items that succeeded, one of each of two dozen equal parts of the job."""
    pictures = min(PICTURES, job.planned_item_count)
    bounds = [number * job.planned_item_count // pictures for number in range(pictures)] + [job.planned_item_count]
    picked: list[tuple[ItemRecord, ResultRecord]] = []
    for start, end in itertools.pairwise(bounds):
        row = session.execute(
            select(ItemRecord, ResultRecord)
            .join(
                ResultRecord,
                (ResultRecord.job_id == ItemRecord.job_id) & (ResultRecord.item_no == ItemRecord.item_no),
            )
            .where(
                ItemRecord.job_id == job.id,
                ItemRecord.item_no >= start,
                ItemRecord.item_no < end,
                ResultRecord.state == ItemState.SUCCEEDED,
            )
            .order_by(ItemRecord.item_no)
            .limit(1)
        ).first()
        if row is not None:
            picked.append((row[0], row[1]))
    return picked


def _failed(session: ReadSession, job: JobRecord) -> list[tuple[str, str]]:
    """Name items that failed, with their reasons."""
    rows = session.execute(
        select(ItemRecord.source_url, ResultRecord.error_code)
        .join(ResultRecord, (ResultRecord.job_id == ItemRecord.job_id) & (ResultRecord.item_no == ItemRecord.item_no))
        .where(ResultRecord.job_id == job.id, ResultRecord.state.in_((ItemState.FAILED, ItemState.REJECTED)))
        .order_by(ItemRecord.item_no)
        .limit(FAILURES)
    )
    return [(row.source_url, row.error_code or "") for row in rows]


def _entry(
    storages: Storages, limits: PictureLimits, job: JobRecord, row: tuple[ItemRecord, ResultRecord]
) -> Entry | None:
    """Fetch both pictures, or of one that was made that alone; None when one has gone meanwhile."""
    item, _result = row
    after = f"{job.output_url.rstrip('/')}/{item.output_key}"
    made = is_made(item.source_url)
    try:
        shown = [
            thumbnail(_read(storages, limits, url), THUMBNAIL_PX, limits=limits)
            for url in ([after] if made else [item.source_url, after])
        ]
    except JobsError:
        return None
    label = item.output_key if made else item.product_id or item.output_key
    return Entry(before=None if made else shown[0], after=shown[-1], label=label, note=_wished(item.source_url))


def _wished(source_url: str) -> str:
    """Say what a picture was to show."""
    if not is_wish(source_url):
        return ""
    attributes, _ = read_wish(source_url)
    return ", ".join(attributes.values())


def _read(storages: Storages, limits: PictureLimits, url: str) -> bytes:
    location = Location.parse(url)
    return storages.at(location).read(location.key, max_bytes=limits.max_bytes)
