"""What a caller may ask about jobs, items and styles. Reads only; every question is a fixed number of statements."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Row, Select, bindparam, case, false, func, select, text, union_all
from sqlalchemy.orm import Session

from jobs.database import clock
from jobs.errors import NotFound
from jobs.expiry import unexpired
from jobs.progress import Counts, Progress, estimate_of, progress_of, shortened
from jobs.records import EventRecord, ItemRecord, JobRecord, ResultRecord, ShardRecord, StyleRecord, SumRecord
from jobs.states import SETTLED, ItemState, JobState, ShardState
from jobs.tenants import Tenant, digest_of, keyed_tenant_id, keyless_tenant_id

Record = TypeVar("Record")

TROUBLED = (ItemState.FAILED, ItemState.REJECTED)  # states that carry an error code


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A job with its counts, from one snapshot."""

    job: JobRecord
    counts: Counts
    progress: Progress
    device_seconds: float  # of what has settled
    device_seconds_estimate: float | None  # of all of it; null until a device had an item and the total is known
    cost: float | None  # of what has settled; null until a device had an item, or where its price is unknown
    cost_estimate: float | None

    @property
    def tag(self) -> str:
        """Equal for equal looks at a job, but for its progress: `<version>-<settled>-<found>`.

        Each part only ever grows, and with every change of the job one of them does.
        """
        found = self.counts.total + self.counts.bad_rows + self.counts.passed_over + self.job.rescued_count
        return f"{self.job.version}-{self.counts.settled}-{found + (self.job.planned_at is not None)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemStatus:
    """An item and what became of it; no result means pending."""

    item: ItemRecord
    result: ResultRecord | None

    @property
    def state(self) -> ItemState:
        return self.result.state if self.result else ItemState.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Record]):
    """Some rows in order, and whether there are more after them."""

    rows: Sequence[Record]
    more: bool


def job_status(session: Session, tenant: Tenant, job_id: uuid.UUID) -> JobStatus:
    """Return one job with its counts.

    Raises:
        NotFound: the tenant has no such job.

    """
    row = session.execute(_STATUS_OF_ONE, {"tenant_id": tenant.id, "job_id": job_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no job {job_id}")
    return _status(row)


def job_status_by_key(session: Session, key: str | None, job_id: uuid.UUID) -> JobStatus | None:
    """Return one job if a request with this key may see it, by one statement: this is what is asked most.

    None says nothing of why not: ask for the tenant, and then for its job.
    """
    if key is None:
        row = session.execute(_STATUS_WITHOUT_KEY, {"job_id": job_id}).one_or_none()
    else:
        row = session.execute(_STATUS_BY_KEY, {"job_id": job_id, "sha256": digest_of(key)}).one_or_none()
    return None if row is None else _status(row)


def find_job(session: Session, tenant: Tenant, job_id: uuid.UUID) -> JobRecord:
    """Return one job without its counts.

    Raises:
        NotFound: the tenant has no such job.

    """
    job = session.scalar(select(JobRecord).where(JobRecord.tenant_id == tenant.id, JobRecord.id == job_id, unexpired()))
    if job is None:
        raise NotFound(f"there is no job {job_id}")
    return job


def job_page(
    session: Session, tenant: Tenant, *, state: JobState | None = None, before: uuid.UUID | None = None, limit: int
) -> Page[JobStatus]:
    """Return up to `limit` jobs created before the job `before`, newest first."""
    ids = select(JobRecord.id).where(JobRecord.tenant_id == tenant.id, unexpired())
    if state is not None:
        ids = ids.where(JobRecord.state == state)
    if before is not None:
        ids = ids.where(JobRecord.id < before)
    rows = session.execute(_statuses(ids.order_by(JobRecord.id.desc()).limit(limit + 1)))
    statuses = [_status(row) for row in rows]
    return Page(rows=statuses[:limit], more=len(statuses) > limit)


def item_page(
    session: Session,
    job: JobRecord,
    *,
    state: ItemState | None = None,
    error_code: str | None = None,
    after: int = -1,
    limit: int,
) -> Page[ItemStatus]:
    """Return up to `limit` items of a job behind item `after`, in the order of the source."""
    if error_code is not None:
        states = [each for each in TROUBLED if state in (None, each)]
        page = _items_of_results(job.id, [_results(job.id, each, after, limit, error_code) for each in states])
    elif state is None or state is ItemState.PENDING:
        page = _items(job.id, after, pending_only=state is ItemState.PENDING)
    else:
        page = _items_of_results(job.id, [_results(job.id, state, after, limit)])
    rows = session.execute(page.limit(limit + 1)).all()
    return Page(rows=[ItemStatus(item=row[0], result=row[1]) for row in rows[:limit]], more=len(rows) > limit)


def troubled_page(
    session: Session, job_id: uuid.UUID, *, states: Sequence[ItemState], after: int = -1, limit: int
) -> Page[ItemStatus]:
    """Return up to `limit` items in one of some states, none of them `succeeded`, behind item `after`, in order."""
    page = _items_of_results(job_id, [_results(job_id, state, after, limit) for state in states])
    rows = session.execute(page.limit(limit + 1)).all()
    return Page(rows=[ItemStatus(item=row[0], result=row[1]) for row in rows[:limit]], more=len(rows) > limit)


def event_page(session: Session, job_id: uuid.UUID, *, after: int = 0, limit: int) -> Page[EventRecord]:
    """Return up to `limit` events of a job behind event `after`, in the order in which they happened."""
    chosen = select(EventRecord).where(EventRecord.job_id == job_id, EventRecord.id > after)
    rows = session.scalars(chosen.order_by(EventRecord.id).limit(limit + 1)).all()
    return Page(rows=rows[:limit], more=len(rows) > limit)


def style_page(session: Session, tenant: Tenant, *, after: str | None = None, limit: int) -> Page[StyleRecord]:
    """Return up to `limit` styles whose names come after `after`, by name."""
    chosen = select(StyleRecord).where(StyleRecord.tenant_id == tenant.id).order_by(StyleRecord.name)
    if after is not None:
        chosen = chosen.where(StyleRecord.name > after)
    rows = session.scalars(chosen.limit(limit + 1)).all()
    return Page(rows=rows[:limit], more=len(rows) > limit)


def _statuses(ids: Select[uuid.UUID]) -> Select[*tuple[Any, ...]]:
    """Select the jobs of these ids, newest first, with the clock and their counts: of one snapshot, they add up."""
    chosen = ids.cte("chosen")
    sums = (
        select(
            SumRecord.job_id,
            *(func.sum(_count(state)).label(state.value) for state in SETTLED),
            func.sum(SumRecord.device_item_count).label("device_items"),
            func.sum(SumRecord.device_seconds).label("device_seconds"),
            case((func.count() == func.count(SumRecord.cost), func.sum(SumRecord.cost))).label("cost"),
        )
        .where(SumRecord.job_id.in_(select(chosen.c.id)))
        .group_by(SumRecord.job_id)
        .subquery()
    )
    return (
        select(
            JobRecord,
            clock(),
            func.coalesce(sums.c.device_items, 0),
            func.coalesce(sums.c.device_seconds, 0.0),
            sums.c.cost,
            *(func.coalesce(sums.c[state.value], 0) for state in SETTLED),
        )
        .join(chosen, chosen.c.id == JobRecord.id)
        .outerjoin(sums, sums.c.job_id == JobRecord.id)
        .order_by(JobRecord.id.desc())
        .execution_options(populate_existing=True)
    )


def _count(state: ItemState) -> ColumnElement[int]:
    column: ColumnElement[int] = getattr(SumRecord, f"{state.value}_count")
    return column


def _status(row: Row[*tuple[Any, ...]]) -> JobStatus:
    job, moment, device_items, seconds, cost, *sums = row
    settled = dict(zip(SETTLED, map(int, sums), strict=True))
    counts = Counts(
        total=job.planned_item_count,
        pending=job.planned_item_count - sum(settled.values()),
        bad_rows=job.bad_row_count,
        passed_over=job.passed_over_count,
        **{state.value: count for state, count in settled.items()},
    )
    known = bool(device_items)
    return JobStatus(
        job=job,
        counts=counts,
        progress=progress_of(job, counts, moment),
        device_seconds=shortened(seconds),
        device_seconds_estimate=estimate_of(job, counts, seconds, device_items),
        cost=shortened(cost) if known and cost is not None else None,
        cost_estimate=None if cost is None else estimate_of(job, counts, cost, device_items),
    )


def _items(job_id: uuid.UUID, after: int, *, pending_only: bool) -> Select[ItemRecord, ResultRecord]:
    """Select items in order with what became of them, walking the key of `items`."""
    page = (
        select(ItemRecord, ResultRecord)
        .outerjoin(
            ResultRecord, (ResultRecord.job_id == ItemRecord.job_id) & (ResultRecord.item_no == ItemRecord.item_no)
        )
        .where(ItemRecord.job_id == job_id, ItemRecord.item_no > after)
        .order_by(ItemRecord.item_no)
    )
    if not pending_only:
        return page
    # Pending items lie in shards that have not ended: start at the first of them, not at the job's first item.
    first = select(func.min(ShardRecord.first_item_no)).where(
        ShardRecord.job_id == job_id, ShardRecord.state != ShardState.ENDED, ShardRecord.end_item_no > after + 1
    )
    return page.where(ResultRecord.item_no.is_(None), ItemRecord.item_no >= first.scalar_subquery())


def _results(job_id: uuid.UUID, state: ItemState, after: int, limit: int, error_code: str | None = None) -> Select[int]:
    """Select the numbers of items with a result of one state, in order."""
    numbers = select(ResultRecord.item_no).where(
        ResultRecord.job_id == job_id, ResultRecord.item_no > after, ResultRecord.state == state
    )
    if state is not ItemState.SUCCEEDED:
        # Word for word the condition of `ix_results_troubled`: a planner must see it to use the index.
        numbers = numbers.where(text("results.state <> 'succeeded'"))
    if error_code is not None:
        numbers = numbers.where(ResultRecord.error_code == error_code)
    return numbers.order_by(ResultRecord.item_no).limit(limit + 1)


def _items_of_results(job_id: uuid.UUID, chosen: Sequence[Select[int]]) -> Select[ItemRecord, ResultRecord]:
    """Select the items of some results, in order, with the results."""
    # Each part is limited and ordered by its index on its own; SQLite allows that in a union only one level down.
    parts = [select(each.subquery().c.item_no) for each in chosen]
    numbers = union_all(*parts).subquery() if parts else select(ResultRecord.item_no).where(false()).subquery()
    return (
        select(ItemRecord, ResultRecord)
        .join(numbers, numbers.c.item_no == ItemRecord.item_no)
        .join(ResultRecord, (ResultRecord.job_id == ItemRecord.job_id) & (ResultRecord.item_no == ItemRecord.item_no))
        .where(ItemRecord.job_id == job_id)
        .order_by(ItemRecord.item_no)
    )


def _status_of_one(tenant_id: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    one = JobRecord.id == bindparam("job_id")
    return _statuses(select(JobRecord.id).where(JobRecord.tenant_id == tenant_id, one, unexpired()))


# Built once: they are asked all the time.
_STATUS_OF_ONE = _status_of_one(bindparam("tenant_id"))
_STATUS_BY_KEY = _status_of_one(keyed_tenant_id())
_STATUS_WITHOUT_KEY = _status_of_one(keyless_tenant_id())
