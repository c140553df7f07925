"""Events: what happened to jobs, for audit, for those who watch, and for webhooks."""

from __future__ import annotations

import datetime
import uuid
from enum import StrEnum
from typing import Any, Literal

from sqlalchemy import Text, Uuid, cast, insert, literal, literal_column, or_, select
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.orm import Session

from jobs.database import now
from jobs.records import EventRecord, WebhookDeliveryRecord, WebhookRecord
from jobs.states import DeliveryState

Actor = Literal["tenant", "worker", "service"]


class EventKind(StrEnum):
    """What can happen to a job. Stable: webhooks subscribe by these."""

    ENQUEUED = "job.enqueued"
    PLANNING = "job.planning"
    QUEUED = "job.queued"
    RUNNING = "job.running"
    PAUSED = "job.paused"
    CHANGED = "job.changed"
    CANCELLING = "job.cancelling"
    FINISHING = "job.finishing"
    ENDED = "job.ended"
    RESCUED = "shard.rescued"
    MEASURED = "training.measured"


def record(session: Session, tenant_id: str, job_id: uuid.UUID, kind: str, *, actor: Actor, **data: Any) -> None:
    """Append an event, and a message to each webhook that wants it, in the transaction in which it happens.

    The job's row must be locked by this transaction, or new.

    Raises:
        ValueError: nobody could subscribe to this kind: it is missing in `EventKind`.

    """
    kind = EventKind(kind)
    moment = now(session)
    event_id = session.execute(
        insert(EventRecord)
        .values(tenant_id=tenant_id, job_id=job_id, kind=kind, actor=actor, data=data, happened_at=moment)
        .returning(EventRecord.id)
    ).scalar_one()
    _post(session, tenant_id, kind, event_id, moment)


def _post(session: Session, tenant_id: str, kind: EventKind, event_id: int, moment: datetime.datetime) -> None:
    """Put an event into the outbox, once for each webhook that wants it."""
    postgres = isinstance(session.get_bind().dialect, PGDialect)
    delivery = WebhookDeliveryRecord.__table__.c
    columns: dict[str, Any] = {
        "id": literal_column("gen_random_uuid()" if postgres else "lower(hex(randomblob(16)))", Uuid()),
        "webhook_id": WebhookRecord.id,
        "event_id": literal(event_id, delivery.event_id.type),
        "state": literal(DeliveryState.PENDING, delivery.state.type),
        "attempt": literal(0),
        "due_at": literal(moment, delivery.due_at.type),
        "log": literal([], delivery.log.type),
        "created_at": literal(moment, delivery.created_at.type),
    }
    # The kinds are plain words: in quotes, one stands in the list's text exactly where it stands in the list.
    listed = cast(WebhookRecord.kinds, Text).contains(f'"{kind}"', autoescape=True)
    wanted = (
        select(*columns.values())
        .where(
            WebhookRecord.tenant_id == tenant_id,
            WebhookRecord.disabled_at.is_(None),
            or_(WebhookRecord.kinds.is_(None), listed),
        )
        # One that is being removed at this moment is waited for, and then passed over: a message to it would break
        # its foreign key, and with it the transaction of the job.
        .with_for_update(read=True, key_share=True)
    )
    session.execute(insert(WebhookDeliveryRecord).from_select(list(columns), wanted))
