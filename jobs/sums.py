"""What became of a job's items so far, added up: asked for all the time, so not counted anew each time.

Whoever settles items adds them here in the same transaction, as its last statement. A job's sums are divided into
stripes, so that workers that settle at the same time seldom wait for each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Insert, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs.records import SumRecord
from jobs.states import SETTLED, ItemState

STRIPES = 64
OF_THE_SERVICE = STRIPES  # the stripe of what no worker settled; whoever adds to it holds the job's row


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Items of one job that have settled."""

    job_id: uuid.UUID
    stripe: int
    counts: Mapping[ItemState, int]
    device_item_count: int = 0
    device_seconds: float = 0.0
    cost: float | None = 0.0  # None: that of some item is not known


def stripe_of(worker_id: uuid.UUID) -> int:
    """Return the stripe to which a worker adds."""
    return worker_id.int % STRIPES


def add(session: Session, added: Sequence[Added]) -> None:
    """Add settled items. Their stripes stay locked to the end of the transaction; all lock them in the same order."""
    rows = [_row(each) for each in sorted(added, key=lambda each: (each.job_id, each.stripe))]
    if rows:
        session.execute(_ADD[session.get_bind().dialect.name], rows)


def counts_of(session: Session, job_id: uuid.UUID) -> dict[ItemState, int]:
    """Return how many items of a job are in each settled state."""
    sums = (func.coalesce(func.sum(getattr(SumRecord, f"{state.value}_count")), 0) for state in SETTLED)
    row = session.execute(select(*sums).where(SumRecord.job_id == job_id)).one()
    return {state: int(count) for state, count in zip(SETTLED, row, strict=True)}


def _row(added: Added) -> dict[str, object]:
    return {
        "job_id": added.job_id,
        "stripe": added.stripe,
        **{f"{state.value}_count": added.counts.get(state, 0) for state in SETTLED},
        "device_item_count": added.device_item_count,
        "device_seconds": added.device_seconds,
        "cost": added.cost,
    }


def _adding(insert: postgresql.Insert | sqlite.Insert) -> Insert:
    columns = [column for column in SumRecord.__table__.columns if not column.primary_key]
    return insert.on_conflict_do_update(
        index_elements=[SumRecord.job_id, SumRecord.stripe],
        set_={column.name: column + insert.excluded[column.name] for column in columns},
    )


# Built once: each settling asks one of them.
_ADD = {
    "postgresql": _adding(postgresql.insert(SumRecord)),
    "sqlite": _adding(sqlite.insert(SumRecord)),
}
