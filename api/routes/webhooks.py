"""Webhooks: who is told of events, what was sent, and sending it again."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Body, Query, Response

from api.answers import LOCATION, problems
from api.parts import AppParts, CurrentTenant
from api.schemas.webhooks import Delivery, DeliveryPage, Webhook, WebhookList, WebhookRequest, WebhookWithSecret
from jobs import webhooks
from jobs.deliveries import delivery_page, replay
from jobs.states import DeliveryState

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

MAX_EVENT_ID = 2**63 - 1


@router.post("", status_code=201, responses={201: {"headers": LOCATION}, **problems(400, 409, 413, 422, 503)})
def create_webhook(
    parts: AppParts, tenant: CurrentTenant, response: Response, request: Annotated[WebhookRequest, Body()]
) -> WebhookWithSecret:
    """Ask to be told of events at an address. The secret that its messages are signed with is shown only here."""
    webhooks.check_url(request.url, allow_private=parts.settings.webhook_allow_private)
    with parts.database.transaction() as session:
        webhook = webhooks.create(session, tenant, request.url, request.kinds)
    response.headers["Location"] = f"{router.prefix}/{webhook.id}"
    return WebhookWithSecret.of(webhook, secret=webhook.secrets[-1])


@router.get("", responses=problems(503))
def list_webhooks(parts: AppParts, tenant: CurrentTenant) -> WebhookList:
    """List all webhooks, the oldest first."""
    with parts.database.reading() as session:
        return WebhookList(data=[Webhook.of(webhook) for webhook in webhooks.listed(session, tenant)])


@router.get("/{webhook_id}", responses=problems(404, 422, 503))
def get_webhook(parts: AppParts, tenant: CurrentTenant, webhook_id: uuid.UUID) -> Webhook:
    """Look at a webhook."""
    with parts.database.reading() as session:
        return Webhook.of(webhooks.find(session, tenant, webhook_id))


@router.delete("/{webhook_id}", status_code=204, responses=problems(404, 422, 503))
def delete_webhook(parts: AppParts, tenant: CurrentTenant, webhook_id: uuid.UUID) -> None:
    """Remove a webhook with its messages: nothing more is sent."""
    webhooks.remove(parts.database, tenant, webhook_id)


@router.post("/{webhook_id}/rotate", responses=problems(404, 413, 422, 503))
def rotate_secret(parts: AppParts, tenant: CurrentTenant, webhook_id: uuid.UUID) -> WebhookWithSecret:
    """Get a new secret beside the newest one: messages carry a signature of each. An older one goes."""
    with parts.database.transaction() as session:
        webhook = webhooks.rotate(session, tenant, webhook_id)
    return WebhookWithSecret.of(webhook, secret=webhook.secrets[-1])


@router.post("/{webhook_id}/disable", responses=problems(404, 413, 422, 503))
def disable_webhook(parts: AppParts, tenant: CurrentTenant, webhook_id: uuid.UUID) -> Webhook:
    """Tell a webhook of nothing for now. What waits for it is given up when it is due. Safe to repeat."""
    with parts.database.transaction() as session:
        return Webhook.of(webhooks.disable(session, tenant, webhook_id))


@router.post("/{webhook_id}/enable", responses=problems(404, 413, 422, 503))
def enable_webhook(parts: AppParts, tenant: CurrentTenant, webhook_id: uuid.UUID) -> Webhook:
    """Tell a webhook of what happens from now on, whoever disabled it. Safe to repeat."""
    with parts.database.transaction() as session:
        return Webhook.of(webhooks.enable(session, tenant, webhook_id))


@router.get("/{webhook_id}/deliveries", responses=problems(404, 422, 503))
def list_deliveries(
    parts: AppParts,
    tenant: CurrentTenant,
    webhook_id: uuid.UUID,
    state: Annotated[DeliveryState | None, Query(description="Only messages in this state.")] = None,
    cursor: Annotated[int | None, Query(ge=0, le=MAX_EVENT_ID, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> DeliveryPage:
    """List a webhook's messages with the latest attempts at each, the newest event first."""
    with parts.database.reading() as session:
        page = delivery_page(session, tenant, webhook_id, state=state, before=cursor, limit=limit)
        data = [Delivery.of(status) for status in page.rows]
    return DeliveryPage(data=data, next_cursor=data[-1].event_id if page.more else None)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay", status_code=202, responses=problems(404, 409, 413, 422, 503)
)
def replay_delivery(parts: AppParts, tenant: CurrentTenant, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> Delivery:
    """Send a message again, whatever came of it: with the same id and body, as if for the first time."""
    with parts.database.transaction() as session:
        return Delivery.of(replay(session, tenant, webhook_id, delivery_id))
