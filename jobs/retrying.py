"""Trying items of an ended job again: which they are, and the request for it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select, text, union_all
from sqlalchemy.orm import Session

from jobs.errors import Conflict
from jobs.recipes import JobRequest, JobSource, Recipe, Retention, Source
from jobs.records import ItemRecord, JobRecord, ResultRecord
from jobs.requests import RetryRequest
from jobs.states import ItemState, JobState
from jobs.tenants import Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The job whose items are tried again, and how many of them."""

    parent: JobRecord
    count: int


def find_retried(session: Session, tenant: Tenant, source: Source) -> Retried | None:
    """Return the job that a source of type `job` names; None for other sources, or where the tenant has no such job.

    Raises:
        Conflict: that job has not ended.

    """
    if not isinstance(source, JobSource):
        return None
    parent = session.scalar(select(JobRecord).where(JobRecord.tenant_id == tenant.id, JobRecord.id == source.job_id))
    if parent is None:
        return None
    if parent.state is not JobState.ENDED:
        message = (
            f"job {parent.id} is {parent.state.value}, and only what has ended can be retried: wait for its end, or "
            "cancel it first"
        )
        raise Conflict(message, code="wrong_state")
    count = session.scalar(select(func.count()).select_from(ResultRecord).where(*_chosen(source, *source.states)))
    return Retried(parent=parent, count=count or 0)


def retried_items(session: Session, source: JobSource, *, after: int, limit: int) -> Sequence[ItemRecord]:
    """Return up to `limit` of the items behind item `after`, in order."""
    # Each part is ordered by an index on its own; SQLite allows its limit in a union only one level down.
    parts = [
        select(ResultRecord.item_no)
        .where(*_chosen(source, state), ResultRecord.item_no > after)
        .order_by(ResultRecord.item_no)
        .limit(limit)
        .subquery()
        for state in dict.fromkeys(source.states)
    ]
    numbers = union_all(*(select(part.c.item_no) for part in parts)).subquery()
    return session.scalars(
        select(ItemRecord)
        .join(numbers, numbers.c.item_no == ItemRecord.item_no)
        .where(ItemRecord.job_id == source.job_id)
        .order_by(ItemRecord.item_no)
        .limit(limit)
    ).all()


def still_there(session: Session, job_id: uuid.UUID) -> bool:
    """Return whether a job's rows have not been dropped."""
    return session.get(JobRecord, job_id) is not None


def child_request(parent: JobRecord, asked: RetryRequest) -> JobRequest:
    """Return the request that tries items of a job again: all as it was, but for what is asked to differ."""
    differing = asked.recipe.model_dump(mode="json", exclude_unset=True)
    # Another model has other parameters.
    kept = (
        {} if differing.get("model", parent.recipe["model"]) != parent.recipe["model"] else parent.recipe["parameters"]
    )
    recipe = parent.recipe | differing | {"parameters": kept | differing.get("parameters", {})}
    return JobRequest.model_validate(
        {
            "recipe": Recipe.model_validate(recipe),
            "source": JobSource(job_id=parent.id, states=asked.states, error_codes=asked.error_codes),
            "priority": parent.priority,
            "max_workers": parent.max_workers,
            "failure_policy": parent.failure_policy,
            "retention": retention_of(parent),
        }
    )


def retention_of(job: JobRecord) -> Retention | None:
    """Return how long a job is remembered, as its request said it."""
    if job.retention_days is None:
        return None
    return Retention(days=job.retention_days, outputs="delete" if job.outputs_expire else "keep")


def _chosen(source: JobSource, *states: str) -> list[ColumnElement[bool]]:
    chosen = [ResultRecord.job_id == source.job_id, ResultRecord.state.in_([ItemState(state) for state in states])]
    if ItemState.SUCCEEDED not in states:
        # Word for word the condition of `ix_results_troubled`: a planner must see it to use the index.
        chosen.append(text("results.state <> 'succeeded'"))  # type: ignore[arg-type]
    if source.error_codes is not None:
        chosen.append(ResultRecord.error_code.in_(source.error_codes))
    return chosen
