"""Bodies about webhooks and what was sent to them."""

from __future__ import annotations

import datetime
import uuid
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.body import Body
from jobs.addresses import MAX_URL_LENGTH
from jobs.deliveries import DeliveryStatus
from jobs.events import EventKind
from jobs.records import WebhookRecord
from jobs.states import DeliveryState


class WebhookRequest(BaseModel):
    """A request to be told of events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        min_length=1,
        max_length=MAX_URL_LENGTH,
        description="https://…, at a public address.",
        examples=["https://shop.example/restyle"],
    )
    kinds: list[EventKind] | None = Field(
        None, min_length=1, max_length=len(EventKind), description="Events to be told of; null: all."
    )


class Webhook(Body):
    """An address that is told of events."""

    id: uuid.UUID
    url: str
    kinds: list[EventKind] | None = Field(description="Events that it is told of; null: all.")
    secret_count: int = Field(description="2 between a rotation and the next: messages carry a signature of each.")
    created_at: datetime.datetime
    disabled_at: datetime.datetime | None = Field(
        description="Since when nothing is sent: you disabled it, or its receiver answered 410; null: enabled."
    )

    @classmethod
    def of(cls, webhook: WebhookRecord, **more: Any) -> Self:
        return cls(
            id=webhook.id,
            url=webhook.url,
            kinds=webhook.kinds and [EventKind(kind) for kind in webhook.kinds],
            secret_count=len(webhook.secrets),
            created_at=webhook.created_at,
            disabled_at=webhook.disabled_at,
            **more,
        )


class WebhookWithSecret(Webhook):
    secret: str = Field(description="The newest secret. It is shown only here.", examples=["whsec_…"])


class WebhookList(Body):
    data: list[Webhook]


class DeliveryAttempt(Body):
    at: datetime.datetime
    status: int | None = Field(description="HTTP status of the answer; null if there was none.")
    error: str | None = Field(description="Why there was no answer.")
    milliseconds: int


class Delivery(Body):
    """A message to a webhook."""

    id: uuid.UUID = Field(description="The `webhook-id` of the message, the same in every attempt.")
    event_id: int
    kind: EventKind
    job_id: uuid.UUID
    state: DeliveryState
    attempt: int = Field(description="Attempts so far, since the last replay.")
    due_at: datetime.datetime | None = Field(description="When it is tried next; null unless pending.")
    log: list[DeliveryAttempt] = Field(description="The latest attempts, the newest last.")
    created_at: datetime.datetime
    ended_at: datetime.datetime | None

    @classmethod
    def of(cls, status: DeliveryStatus) -> Self:
        delivery, event = status.delivery, status.event
        return cls(
            id=delivery.id,
            event_id=event.id,
            kind=EventKind(event.kind),
            job_id=event.job_id,
            state=delivery.state,
            attempt=delivery.attempt,
            due_at=delivery.due_at if delivery.state is DeliveryState.PENDING else None,
            log=[DeliveryAttempt.model_validate(entry) for entry in delivery.log],
            created_at=delivery.created_at,
            ended_at=delivery.ended_at,
        )


class DeliveryPage(Body):
    data: list[Delivery]
    next_cursor: int | None = Field(description="Give it as `cursor` for the next page; null on the last.")
