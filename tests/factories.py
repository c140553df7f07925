"""Records with sensible defaults, written straight into the tables. They obey the schema, not the rules of jobs/."""

from __future__ import annotations

import datetime
import hashlib
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from jobs import leases, sums
from jobs.database import append, now
from jobs.errors import LeaseLost
from jobs.leases import FailedTry, ItemResult, Lease, Settlement
from jobs.output_keys import fold
from jobs.recipes import FailurePolicy, PrefixSource, Recipe, fingerprint, sha256_of
from jobs.records import (
    ItemRecord,
    JobRecord,
    ResultRecord,
    ShardRecord,
    StyleRecord,
    TenantRecord,
    WebhookRecord,
)
from jobs.signing import new_secret
from jobs.states import SETTLED, ItemState, JobOutcome, JobState, ShardState

TENANT = "default"

NOT_PLANNED = {JobState.PLANNING}
NOT_STARTED = {JobState.PLANNING, JobState.QUEUED}


def make_recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate({"model": "reinhard", "style": "warm", "parameters": {"strength": 1.0}} | changes)


def make_style(session: Session, name: str = "warm", **columns: Any) -> StyleRecord:
    """Insert a style of one reference picture; the picture itself is not stored."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    style_id = uuid7()
    defaults = {
        "id": style_id,
        "tenant_id": TENANT,
        "name": name,
        "references": [
            {"url": f"s3://restyle/styles/{style_id}/0.jpg", "sha256": digest, "bytes": 1000, "file_name": "0.jpg"}
        ],
        "sha256": sha256_of([digest]),
        "created_at": now(session),
    }
    style = StyleRecord(**defaults | columns)
    session.add(style)
    session.flush()
    return style


def make_tenant(session: Session, name: str, **columns: Any) -> TenantRecord:
    """Insert a tenant with the defaults, but for `columns`."""
    tenant = TenantRecord(**{"id": name, "created_at": now(session)} | columns)
    session.add(tenant)
    session.flush()
    return tenant


def settle(
    session: Session, held: Lease, results: Sequence[ItemResult], failed_tries: Sequence[FailedTry] = ()
) -> bool:
    """Settle items of one lease. Return whether its shard has ended with them.

    Raises:
        LeaseLost: the lease is another's now.

    """
    settlement = Settlement(lease=held, results=results, failed_tries=failed_tries)
    ended = leases.settle(session, [settlement])
    if held not in ended:
        raise LeaseLost
    return ended[held]


def make_job(
    session: Session,
    *,
    state: JobState = JobState.QUEUED,
    items: int = 0,
    shard_size: int = 256,
    recipe: Recipe | None = None,
    **columns: Any,
) -> JobRecord:
    """Insert a job with `items` items in shards of `shard_size`, all pending and ready.

    An ended job has the outcome `succeeded` and its items succeeded, unless `columns` name another outcome:
    settle its items with `make_results` then.
    """
    recipe = recipe or make_recipe()
    job_id = uuid7()
    at = now(session)
    ended = state is JobState.ENDED
    outcome = columns.get("outcome", JobOutcome.SUCCEEDED if ended else None)
    defaults = {
        "id": job_id,
        "tenant_id": TENANT,
        "state": state,
        "outcome": outcome,
        "queue": "gpu",
        "priority": 0,
        "recipe": recipe.model_dump(mode="json"),
        "recipe_fingerprint": fingerprint(recipe, weights_sha256=None, style_sha256=None),
        "source": PrefixSource(url="s3://shop/catalogue/").model_dump(mode="json"),
        "output_url": f"s3://restyle/results/{job_id}/",
        "request_sha256": sha256_of(str(job_id)),
        "failure_policy": FailurePolicy().model_dump(mode="json"),
        "planned_item_count": items,
        "planned_shard_count": -(-items // shard_size),
        "created_at": at,
        "planned_at": None if state in NOT_PLANNED else at,
        "started_at": None if state in NOT_STARTED else at,
        "cancelling_at": at if state is JobState.CANCELLING else None,
        "ended_at": at if ended else None,
    }
    job = JobRecord(**defaults | columns)
    session.add(job)
    session.flush()
    make_items(session, job, items, shard_size=shard_size)
    if ended and outcome is JobOutcome.SUCCEEDED:
        make_results(session, job, range(items))
    return job


def make_items(session: Session, job: JobRecord, count: int, *, shard_size: int = 256) -> None:
    """Append items 0 … count − 1 and their ready shards."""
    append(session, ItemRecord, [item_row(job, item_no) for item_no in range(count)])
    for shard_no, first in enumerate(range(0, count, shard_size)):
        make_shard(session, job, shard_no, first, min(first + shard_size, count))


def item_row(job: JobRecord, item_no: int, **columns: Any) -> dict[str, Any]:
    """Return the columns of an item, for `append`."""
    name = f"shoes/{item_no:06d}.jpg"
    return {
        "job_id": job.id,
        "item_no": item_no,
        "product_id": f"P{item_no}",
        "source_url": f"s3://shop/catalogue/{name}",
        "output_key": name,
        "output_key_digest": fold(name),
        "attributes": None,
    } | columns


def make_shard(
    session: Session, job: JobRecord, shard_no: int, first_item_no: int, end_item_no: int, **columns: Any
) -> ShardRecord:
    defaults = {
        "job_id": job.id,
        "shard_no": shard_no,
        "first_item_no": first_item_no,
        "end_item_no": end_item_no,
        "item_count": end_item_no - first_item_no,
        "state": ShardState.READY,
    }
    shard = ShardRecord(**defaults | columns)
    session.add(shard)
    session.flush()
    counts = {state: columns[f"{state.value}_count"] for state in SETTLED if f"{state.value}_count" in columns}
    if counts:
        sums.add(session, [sums.Added(job_id=job.id, stripe=sums.OF_THE_SERVICE, counts=counts)])
    return shard


def make_results(
    session: Session,
    job: JobRecord,
    item_nos: Iterable[int],
    state: ItemState = ItemState.SUCCEEDED,
    **columns: Any,
) -> None:
    """Append results, count them on their shards, and end the shards that have no pending item left."""
    settled = list(item_nos)
    at = now(session)
    append(session, ResultRecord, [result_row(job, item_no, state, settled_at=at, **columns) for item_no in settled])
    shards = session.scalars(select(ShardRecord).where(ShardRecord.job_id == job.id)).all()
    for shard in shards:
        count = sum(shard.first_item_no <= item_no < shard.end_item_no for item_no in settled)
        name = f"{state.value}_count"
        setattr(shard, name, getattr(shard, name) + count)
        if settled_count(shard) == shard.item_count:
            shard.state, shard.worker_id, shard.lease_expires_at = ShardState.ENDED, None, None
    session.flush()
    added = sums.Added(job_id=job.id, stripe=sums.OF_THE_SERVICE, counts={state: len(settled)})
    sums.add(session, [added])


def result_row(job: JobRecord, item_no: int, state: ItemState, **columns: Any) -> dict[str, Any]:
    """Return the columns of a result, for `append`."""
    good = state in {ItemState.SUCCEEDED, ItemState.REUSED}
    troubled = state in {ItemState.FAILED, ItemState.REJECTED}
    return {
        "job_id": job.id,
        "item_no": item_no,
        "state": state,
        "error_code": "truncated" if troubled else None,
        "error_message": "the file ends before its pixels do" if troubled else None,
        "source_sha256": None,
        "source_bytes": None,
        "sha256": hashlib.sha256(str(item_no).encode()).hexdigest() if good else None,
        "bytes": 2000 if good else None,
        "width": 64 if good else None,
        "height": 48 if good else None,
        "milliseconds": {"read": 1.5, "model": 4.0} if good else None,
        "device_seconds": None,
        "cost": None,
        "engine": None,
        "measures": None,
        "attempt": 1,
        "worker_id": None,
        "settled_at": datetime.datetime.now(datetime.UTC),
    } | columns


def lease(session: Session, shard: ShardRecord, *, seconds: float = 60) -> uuid.UUID:
    """Give a shard to a new worker for some seconds, past if negative. Return the worker's id."""
    worker_id = uuid.uuid4()
    session.execute(
        update(ShardRecord)
        .where(ShardRecord.job_id == shard.job_id, ShardRecord.shard_no == shard.shard_no)
        .values(
            state=ShardState.LEASED,
            worker_id=worker_id,
            attempt=ShardRecord.attempt + 1,
            lease_token=ShardRecord.lease_token + 1,
            lease_expires_at=now(session) + datetime.timedelta(seconds=seconds),
        )
    )
    session.refresh(shard)
    return worker_id


def make_webhook(session: Session, url: str = "https://shop.example/hook", **columns: Any) -> WebhookRecord:
    """Insert a webhook that wants every event of the tenant."""
    defaults = {
        "id": uuid7(),
        "tenant_id": TENANT,
        "url": url,
        "kinds": None,
        "secrets": [new_secret()],
        "created_at": now(session),
        "disabled_at": None,
    }
    webhook = WebhookRecord(**defaults | columns)
    session.add(webhook)
    session.flush()
    return webhook


def settled_count(shard: ShardRecord) -> int:
    return sum(getattr(shard, f"{state.value}_count") for state in ItemState if state is not ItemState.PENDING)
