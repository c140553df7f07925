"""The lines that a job writes about its items: of its manifest, its result parts and its errors file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, and_, select
from sqlalchemy.orm import Session

from jobs.database import Database
from jobs.manifests import BadRow, bad_row_line, manifest_line
from jobs.output_keys import rejected_url
from jobs.records import BadRowRecord, ItemRecord, JobRecord, ResultRecord
from jobs.states import ItemState

KEPT_AT_KEY = (ItemState.SUCCEEDED, ItemState.REUSED)  # states in which there is a picture at the output key
ERROR_STATES = (ItemState.FAILED, ItemState.REJECTED, ItemState.CANCELLED)
ERROR_MEMBERS = ("key", "product_id", "attributes", "item", "state", "error_code", "error_message")
BAD_ROWS_PAGE = 1_000

Line = dict[str, Any]


def picture_url(job: JobRecord, output_key: str, state: ItemState) -> str | None:
    """Return where an item's picture is; None in a state in which there is none.

    What was rejected lies apart: whoever takes all pictures of an output takes none of them.
    """
    if state is ItemState.REJECTED:
        return rejected_url(job.output_url, job.id) + output_key
    return f"{job.output_url.rstrip('/')}/{output_key}" if state in KEPT_AT_KEY else None


def item_rows(
    session: Session, job_id: uuid.UUID, first_item_no: int, end_item_no: int
) -> Sequence[Row[ItemRecord, ResultRecord | None]]:
    """Read a run of a job's items in order, with what became of them."""
    return session.execute(
        select(ItemRecord, ResultRecord)
        .outerjoin(
            ResultRecord,
            and_(ResultRecord.job_id == ItemRecord.job_id, ResultRecord.item_no == ItemRecord.item_no),
        )
        .where(ItemRecord.job_id == job_id, ItemRecord.item_no >= first_item_no, ItemRecord.item_no < end_item_no)
        .order_by(ItemRecord.item_no)
    ).all()


def line_of(job: JobRecord, item: ItemRecord, result: ResultRecord | None) -> Line:
    """Return what the manifest says about an item."""
    state = result.state if result else ItemState.PENDING
    return {
        "item": item.item_no,
        "product_id": item.product_id,
        "key": item.source_url,
        "output_key": picture_url(job, item.output_key, state),
        "state": state,
        "error_code": result.error_code if result else None,
        "error_message": result.error_message if result else None,
        "sha256": result.sha256 if result else None,
        "bytes": result.bytes if result else None,
        "width": result.width if result else None,
        "height": result.height if result else None,
        "milliseconds": result.milliseconds if result else None,
        "device_seconds": result.device_seconds if result else None,
        "cost": result.cost if result else None,
        "engine": result.engine if result else None,
        "measures": result.measures if result else None,
        "attributes": item.attributes or {},
    }


def error_line(line: Line) -> bytes:
    """Return what the errors file says about an item that did not succeed, from its line in the manifest."""
    return manifest_line(**{name: line[name] for name in ERROR_MEMBERS})


def bad_row_lines(database: Database, job_id: uuid.UUID) -> Iterator[bytes]:
    """Yield the errors file's notes about rows that became no items, a page of them at a time."""
    after = -1
    while True:
        with database.reading() as session:
            rows = session.scalars(
                select(BadRowRecord)
                .where(BadRowRecord.job_id == job_id, BadRowRecord.row_no > after)
                .order_by(BadRowRecord.row_no)
                .limit(BAD_ROWS_PAGE)
            ).all()
        if not rows:
            return
        yield b"".join(map(_bad_row_line, rows))
        after = rows[-1].row_no


def _bad_row_line(row: BadRowRecord) -> bytes:
    return bad_row_line(BadRow(row_no=row.row_no, code=row.code, message=row.message, text=row.text))
