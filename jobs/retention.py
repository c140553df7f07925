"""The end of a job's retention: its outputs, if they go with it, then its rows, at last the job itself.

Messages to webhooks have a retention of their own, so that they do not grow with jobs that are kept for ever.

Everything goes in bounded batches, each of which is safe to repeat, so a worker that dies is followed by one that goes
on. For callers the job is gone from the moment on at which it expires: see `jobs.expiry`.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from sqlalchemy import ColumnElement, delete, func, literal, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from jobs.database import Database, now
from jobs.errors import StorageError
from jobs.expiry import unexpired
from jobs.job_leases import LEASE_ATTEMPTS, JobLease, hold
from jobs.locations import Location
from jobs.output_keys import files_url, fold
from jobs.records import (
    BadRowRecord,
    EventRecord,
    ItemErrorRecord,
    ItemRecord,
    JobRecord,
    ResultPartRecord,
    ResultRecord,
    ShardRecord,
    SumRecord,
    WebhookDeliveryRecord,
)
from jobs.result_lines import KEPT_AT_KEY, picture_url
from jobs.states import JobState
from jobs.storage import Storages
from jobs.trainings import CARD, WEIGHTS

log = structlog.get_logger(__name__)

BATCH_ROWS = 1_000  # removed in one transaction
MESSAGE_DAYS = 30  # for which a message to a webhook is kept, from its delivery or its being given up on
OUTPUTS_PAGE = 200  # checked against other jobs, and then deleted
DELETES_AT_ONCE = 16
UNPLANNED_SECONDS = 60.0  # until the next look, while a job is planned whose items may need the same keys
REFUSED_SECONDS = 3_600.0  # until the next try, when storage refuses for good: a person must see to it

# In the order in which rows go: none is left behind that refers to one that has gone.
TABLES: tuple[tuple[type, InstrumentedAttribute[int]], ...] = (
    (ItemErrorRecord, ItemErrorRecord.item_no),
    (ResultRecord, ResultRecord.item_no),
    (ItemRecord, ItemRecord.item_no),
    (ResultPartRecord, ResultPartRecord.shard_no),
    (ShardRecord, ShardRecord.shard_no),
    (SumRecord, SumRecord.stripe),
    (BadRowRecord, BadRowRecord.row_no),
    (EventRecord, EventRecord.id),  # with their messages to webhooks
)


class _NotYet(Exception):
    """An output may be needed by a job whose items are not known yet."""


def drop(database: Database, storages: Storages, lease: JobLease) -> None:
    """Remove an expired job. Safe to repeat.

    Outputs that storage does not let go keep the job's rows, without which nobody would know what is to be deleted:
    the job rests and is tried again.

    Raises:
        LeaseLost: another worker goes on with this.
        StepStopped: this process is about to end.
        StorageError: storage did not answer; worth another try.
    """
    with database.transaction() as session:
        job = hold(session, lease)
        job.idempotency_key = None  # it ends with the job
    try:
        if job.outputs_expire:
            while _drop_outputs(database, storages, lease):
                pass
            _drop_files(storages, job)
    except _NotYet:
        _rest(database, lease, UNPLANNED_SECONDS)
        return
    except StorageError as error:
        if lease.attempt < LEASE_ATTEMPTS:
            raise
        log.error("outputs_not_deleted", job_id=str(job.id), error=str(error))
        _rest(database, lease, REFUSED_SECONDS)
        return
    for record, key in TABLES:
        while _drop_rows(database, lease, record, key):
            pass
    with database.transaction() as session:
        hold(session, lease)
        session.execute(delete(JobRecord).where(JobRecord.id == job.id))
    log.info("job_dropped", job_id=str(job.id), outputs=job.outputs_expire)


def drop_messages(session: Session) -> int:
    """Remove the next messages to webhooks that are past their retention. Return how many; at most `BATCH_ROWS`.

    Safe to call from several workers at once: each takes others.
    """
    ended_at = WebhookDeliveryRecord.ended_at
    old = session.scalars(
        select(WebhookDeliveryRecord.id)
        .where(ended_at < now(session) - datetime.timedelta(days=MESSAGE_DAYS))
        .order_by(ended_at)
        .limit(BATCH_ROWS)
        .with_for_update(skip_locked=True)
    ).all()
    if old:
        session.execute(delete(WebhookDeliveryRecord).where(WebhookDeliveryRecord.id.in_(old)))
    return len(old)


def _drop_outputs(database: Database, storages: Storages, lease: JobLease) -> bool:
    """Delete the pictures of the next results, then the results. Return whether there may be more."""
    with database.transaction() as session:
        job = hold(session, lease)
        rows = session.execute(
            select(ItemRecord.item_no, ItemRecord.output_key, ResultRecord.state)
            .join(
                ResultRecord, (ResultRecord.job_id == ItemRecord.job_id) & (ResultRecord.item_no == ItemRecord.item_no)
            )
            .where(ResultRecord.job_id == job.id)
            .order_by(ResultRecord.item_no)
            .limit(OUTPUTS_PAGE)
        ).all()
        urls = [url for row in rows if (url := picture_url(job, row.output_key, row.state)) is not None]
        needed = _needed_elsewhere(session, job, urls)
    if not rows:
        return False
    unneeded = [url for url in urls if url not in needed]
    if job.recipe["operation"] == "train":
        unneeded += [url.removesuffix(WEIGHTS) + CARD for url in unneeded]
    locations = [Location.parse(url) for url in unneeded]
    with ThreadPoolExecutor(DELETES_AT_ONCE) as pool:
        for _ in pool.map(lambda location: storages.at(location).delete(location.key), locations):
            pass
    with database.transaction() as session:
        hold(session, lease, progress=True)
        session.execute(
            delete(ResultRecord).where(ResultRecord.job_id == job.id, ResultRecord.item_no <= rows[-1].item_no)
        )
    return True


def _drop_files(storages: Storages, job: JobRecord) -> None:
    folder = Location.parse(files_url(job.output_url, job.id))
    storage = storages.at(folder)
    for found in storage.list(folder.key):
        storage.delete(found.key)


def _drop_rows(database: Database, lease: JobLease, record: type, key: InstrumentedAttribute[int]) -> bool:
    """Delete the next rows of a table. Return whether there may be more."""
    with database.transaction() as session:
        hold(session, lease, progress=True)
        mine = key.class_.job_id == lease.job_id
        last = session.scalar(select(key).where(mine).order_by(key).offset(BATCH_ROWS - 1).limit(1))
        session.execute(delete(record).where(mine, *([] if last is None else [key <= last])))
    return last is not None


def _rest(database: Database, lease: JobLease, seconds: float) -> None:
    """Keep the job from being claimed for a while. This lease ends by it."""
    with database.transaction() as session:
        job = hold(session, lease)
        job.lease_expires_at = now(session) + datetime.timedelta(seconds=seconds)
        job.presence_key = None  # nobody takes the rest for a death
        job.lease_token += 1


def _needed_elsewhere(session: Session, job: JobRecord, urls: Sequence[str]) -> set[str]:
    """Return those of the URLs at which another job has a picture, or may still write one.

    Raises:
        _NotYet: another job may need some, and its items are not known yet.

    """
    needed: set[str] = set()
    others = session.execute(
        select(JobRecord.id, JobRecord.output_url, JobRecord.state, JobRecord.planned_at).where(
            JobRecord.id != job.id,
            unexpired(),
            _overlaps(_folder_of(job.output_url)),
        )
    ).all()
    for other in others:
        ended = other.state is JobState.ENDED
        if other.planned_at is None and not ended:
            raise _NotYet
        folder = _folder_of(other.output_url)
        by_digest = {fold(url.removeprefix(folder)): url for url in urls if url.startswith(folder)}
        found = select(ItemRecord.output_key_digest).where(
            ItemRecord.job_id == other.id, ItemRecord.output_key_digest.in_(by_digest)
        )
        if ended:
            found = found.join(
                ResultRecord, (ResultRecord.job_id == ItemRecord.job_id) & (ResultRecord.item_no == ItemRecord.item_no)
            ).where(ResultRecord.state.in_(KEPT_AT_KEY))
        needed |= {by_digest[digest] for digest in session.scalars(found)}
    return needed


def _overlaps(folder: str) -> ColumnElement[bool]:
    """Whether one of two output folders, the other one that of a job, lies in the other."""
    theirs = func.rtrim(JobRecord.output_url, "/").concat("/")
    return or_(
        func.substr(theirs, 1, len(folder)) == folder, func.substr(literal(folder), 1, func.length(theirs)) == theirs
    )


def _folder_of(output_url: str) -> str:
    return output_url.rstrip("/") + "/"
