"""The outbox of webhooks: what is due, who sends it, and what came of each attempt.

At least once, in the order of each job's events: a message is not sent before an earlier one of the same job to the
same webhook is delivered or given up. A claim moves `due_at` on by a lease, so a sender that dies is followed by
another; what is written about an attempt must match its number, so a sender that comes back late is refused.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session, aliased

from jobs import webhooks
from jobs.calls import CALL_SECONDS, Answer
from jobs.database import ReadSession, now
from jobs.errors import Conflict, NotFound
from jobs.queries import Page
from jobs.recipes import canonical_json
from jobs.records import EventRecord, WebhookDeliveryRecord, WebhookRecord
from jobs.retries import webhook_pause
from jobs.states import DeliveryState
from jobs.tenants import Tenant

LEASE_SECONDS = 4 * CALL_SECONDS  # longer than a call with its connecting and resolving
LOOKED_AT = 64  # due messages of one claim
LOG_ENTRIES = 20  # kept of the latest attempts
MAX_BODY_BYTES = 20_000  # as the standard advises
MAX_MESSAGE_CHARACTERS = 500
GONE = 410  # the receiver wants no more messages

Delivery = WebhookDeliveryRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that was claimed to be sent."""

    id: uuid.UUID
    attempt: int  # from 1; those before a replay do not count
    webhook_id: uuid.UUID
    url: str
    secrets: tuple[str, ...]
    body: bytes  # equal in every attempt
    sent_at: datetime.datetime  # of the database's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStatus:
    """A message with the event that it tells of."""

    delivery: WebhookDeliveryRecord
    event: EventRecord


def any_due(session: ReadSession) -> bool:
    """Return whether a claim would find anything to do."""
    return session.scalar(select(Delivery.id).where(*_due(now(session))).limit(1)) is not None


def claim(session: Session, *, limit: int) -> list[Message]:
    """Lease up to `limit` due messages, spread over the webhooks: a slow receiver must not keep others waiting.

    What must wait for an earlier message sleeps until that is due. What belongs to a disabled webhook fails.
    """
    moment = now(session)
    # Of each webhook its first few, the first ones first. The numbering must not lock; the outer statement does.
    turn = func.row_number().over(partition_by=Delivery.webhook_id, order_by=(Delivery.due_at, Delivery.event_id))
    turns = select(Delivery.id, turn.label("turn")).where(*_due(moment)).subquery()
    rows = session.execute(
        select(Delivery, EventRecord, WebhookRecord, _waits_until().label("waits_until"))
        .join(turns, turns.c.id == Delivery.id)
        .join(EventRecord, EventRecord.id == Delivery.event_id)
        .join(WebhookRecord, WebhookRecord.id == Delivery.webhook_id)
        .where(*_due(moment))
        .order_by(turns.c.turn, Delivery.due_at, Delivery.event_id)
        .limit(LOOKED_AT)
        .with_for_update(of=Delivery, skip_locked=True)
    ).all()
    messages: list[Message] = []
    for delivery, event, webhook, waits_until in rows:
        if webhook.disabled_at is not None:
            delivery.state, delivery.ended_at = DeliveryState.FAILED, moment
        elif waits_until is not None:
            delivery.due_at = waits_until
        elif len(messages) < limit:
            delivery.due_at = moment + datetime.timedelta(seconds=LEASE_SECONDS)
            delivery.attempt += 1
            messages.append(_message(delivery, event, webhook, moment))
    session.flush()
    return messages


def record_answer(session: Session, message: Message, answer: Answer) -> DeliveryState | None:
    """Write down how an attempt ended, and what follows. Return the state; None where the attempt is another's now.

    Delivered: the job's next message is due at once. Not: it is tried again later, until all attempts are made.
    """
    moment = now(session)
    if answer.status == GONE:
        _disable(session, message.webhook_id, moment)
    delivery = session.scalar(select(Delivery).where(*_held(message)).with_for_update())
    if delivery is None:
        return None
    entry = {"at": moment.isoformat(), "status": answer.status, "error": answer.error}
    delivery.log = [*delivery.log, entry | {"milliseconds": answer.milliseconds}][-LOG_ENTRIES:]
    pause = None if answer.status == GONE else webhook_pause(message.attempt)
    if answer.accepted:
        delivery.state, delivery.ended_at = DeliveryState.DELIVERED, moment
    elif pause is None:
        delivery.state, delivery.ended_at = DeliveryState.FAILED, moment
    else:
        delivery.due_at = moment + datetime.timedelta(seconds=pause)
    session.flush()
    if delivery.ended_at is not None:
        _wake_followers(session, delivery, moment)
    return delivery.state


def delivery_page(
    session: Session,
    tenant: Tenant,
    webhook_id: uuid.UUID,
    *,
    state: DeliveryState | None = None,
    before: int | None = None,
    limit: int,
) -> Page[DeliveryStatus]:
    """Return up to `limit` messages to a webhook of events before the event `before`, the newest first.

    Raises:
        NotFound: the tenant has no such webhook.

    """
    webhooks.find(session, tenant, webhook_id)
    chosen = _with_event().where(Delivery.webhook_id == webhook_id)
    if state is not None:
        chosen = chosen.where(Delivery.state == state)
    if before is not None:
        chosen = chosen.where(Delivery.event_id < before)
    rows = session.execute(chosen.order_by(Delivery.event_id.desc()).limit(limit + 1)).all()
    statuses = [DeliveryStatus(delivery=row[0], event=row[1]) for row in rows]
    return Page(rows=statuses[:limit], more=len(statuses) > limit)


def replay(session: Session, tenant: Tenant, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> DeliveryStatus:
    """Send a message again, now and with all attempts, whatever came of it. Its id and body stay. Safe to repeat.

    Raises:
        NotFound: the tenant has no such webhook, or it no such message.
        Conflict: the webhook is disabled.

    """
    webhook = webhooks.find(session, tenant, webhook_id)
    if webhook.disabled_at is not None:
        raise Conflict(f"the webhook {webhook_id} is disabled: enable it first", code="webhook_disabled")
    one = _with_event().where(Delivery.webhook_id == webhook_id, Delivery.id == delivery_id)
    row = session.execute(one.with_for_update(of=Delivery)).one_or_none()
    if row is None:
        raise NotFound(f"the webhook {webhook_id} has no delivery {delivery_id}")
    delivery, event = row
    # One that is being sent at this moment stays with its sender, so that its next attempt does not overtake it.
    if delivery.state is not DeliveryState.PENDING:
        delivery.due_at = now(session)
        delivery.state, delivery.attempt, delivery.ended_at = DeliveryState.PENDING, 0, None
        session.flush()
    return DeliveryStatus(delivery=delivery, event=event)


def _due(moment: datetime.datetime) -> tuple[ColumnElement[bool], ...]:
    return Delivery.state == DeliveryState.PENDING, Delivery.due_at <= moment


def _held(message: Message) -> tuple[ColumnElement[bool], ...]:
    return (
        Delivery.id == message.id,
        Delivery.state == DeliveryState.PENDING,
        Delivery.attempt == message.attempt,
    )


def _waits_until() -> ColumnElement[Any]:
    """When an earlier message of the same job to the same webhook is due; null where there is none to wait for."""
    earlier, told = aliased(Delivery), aliased(EventRecord)
    return (
        select(func.max(earlier.due_at))
        .join(told, told.id == earlier.event_id)
        .where(
            told.job_id == EventRecord.job_id,
            told.id < EventRecord.id,
            earlier.webhook_id == Delivery.webhook_id,
            earlier.state == DeliveryState.PENDING,
        )
        .correlate(Delivery, EventRecord)
        .scalar_subquery()
    )


def _wake_followers(session: Session, delivery: WebhookDeliveryRecord, moment: datetime.datetime) -> None:
    job_id = select(EventRecord.job_id).where(EventRecord.id == delivery.event_id).scalar_subquery()
    later = select(EventRecord.id).where(EventRecord.job_id == job_id, EventRecord.id > delivery.event_id)
    session.execute(
        update(Delivery)
        .where(
            Delivery.webhook_id == delivery.webhook_id,
            Delivery.state == DeliveryState.PENDING,
            Delivery.event_id.in_(later),
        )
        .values(due_at=moment)
        .execution_options(synchronize_session=False)
    )


def _disable(session: Session, webhook_id: uuid.UUID, moment: datetime.datetime) -> None:
    """Write and send nothing more to a webhook. What waits for it fails when it is due."""
    session.execute(
        update(WebhookRecord)
        .where(WebhookRecord.id == webhook_id, WebhookRecord.disabled_at.is_(None))
        .values(disabled_at=moment)
    )


def _with_event() -> Select[WebhookDeliveryRecord, EventRecord]:
    return select(Delivery, EventRecord).join(EventRecord, EventRecord.id == Delivery.event_id)


def _message(
    delivery: WebhookDeliveryRecord, event: EventRecord, webhook: WebhookRecord, moment: datetime.datetime
) -> Message:
    return Message(
        id=delivery.id,
        attempt=delivery.attempt,
        webhook_id=webhook.id,
        url=webhook.url,
        secrets=tuple(webhook.secrets),
        body=body_of(event),
        sent_at=moment,
    )


def body_of(event: EventRecord) -> bytes:
    """Return what is sent of an event. It is thin: of a long error, code and message; the rest is read from the job."""
    data: dict[str, Any] = {"job_id": str(event.job_id), **event.data}
    error = data.get("error")
    if isinstance(error, dict):
        message = str(error.get("message", ""))[:MAX_MESSAGE_CHARACTERS]
        data["error"] = {"code": error.get("code"), "message": message}
    told = {"type": event.kind, "timestamp": event.happened_at.isoformat(), "data": data}
    body = canonical_json(told).encode()
    if len(body) > MAX_BODY_BYTES:
        body = canonical_json(told | {"data": {"job_id": data["job_id"]}}).encode()
    return body
