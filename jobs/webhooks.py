"""Webhooks: the addresses of a tenant's that want to hear of events. What is sent to them is in `jobs.deliveries`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from jobs.addresses import AddressRefused, resolve
from jobs.database import Database, now
from jobs.errors import Conflict, InvalidRequest, NotFound, Problem
from jobs.events import EventKind
from jobs.records import WebhookDeliveryRecord, WebhookRecord
from jobs.signing import new_secret
from jobs.tenants import Tenant

MAX_WEBHOOKS = 20  # of a tenant: each event is written once for each
MAX_SECRETS = 2
BATCH_ROWS = 1_000  # removed in one transaction


def check_url(url: str, *, allow_private: bool) -> None:
    """Find out whether the service would call an address. Asks the resolver, so no transaction may be open.

    Raises:
        InvalidRequest: it would not, or nobody knows the host.

    """
    try:
        resolve(url, allow_private=allow_private)
    except AddressRefused as refusal:
        remedy = str(refusal)
    except OSError as error:
        remedy = f"name a host that can be resolved: {error.strerror or error}"
    else:
        return
    raise InvalidRequest(Problem(field="url", value=url, remedy=remedy), code="webhook_url_refused")


def create(session: Session, tenant: Tenant, url: str, kinds: Iterable[EventKind] | None) -> WebhookRecord:
    """Add a webhook with a first secret. Its address must have been checked.

    Raises:
        Conflict: the tenant has as many as it may.

    """
    count = session.scalar(select(func.count()).where(WebhookRecord.tenant_id == tenant.id)) or 0
    if count >= MAX_WEBHOOKS:
        raise Conflict(f"there are {count} webhooks already: delete one first", code="too_many_webhooks")
    webhook = WebhookRecord(
        id=uuid7(),
        tenant_id=tenant.id,
        url=url,
        kinds=None if kinds is None else sorted(set(kinds)),
        secrets=[new_secret()],
        created_at=now(session),
        disabled_at=None,
    )
    session.add(webhook)
    session.flush()
    return webhook


def listed(session: Session, tenant: Tenant) -> Sequence[WebhookRecord]:
    """Return all of a tenant's webhooks, the oldest first."""
    mine = select(WebhookRecord).where(WebhookRecord.tenant_id == tenant.id)
    return session.scalars(mine.order_by(WebhookRecord.id)).all()


def find(session: Session, tenant: Tenant, webhook_id: uuid.UUID, *, lock: bool = False) -> WebhookRecord:
    """Return one webhook.

    Raises:
        NotFound: the tenant has no such webhook.

    """
    one = select(WebhookRecord).where(WebhookRecord.tenant_id == tenant.id, WebhookRecord.id == webhook_id)
    # Without the word "key", the lock would keep every event of the tenant's jobs waiting.
    webhook = session.scalar(one.with_for_update(key_share=True) if lock else one)
    if webhook is None:
        raise NotFound(f"there is no webhook {webhook_id}")
    return webhook


def rotate(session: Session, tenant: Tenant, webhook_id: uuid.UUID) -> WebhookRecord:
    """Put a new secret beside the newest; an older one goes. Messages are signed with both from now on.

    Raises:
        NotFound: the tenant has no such webhook.

    """
    webhook = find(session, tenant, webhook_id, lock=True)
    webhook.secrets = [*webhook.secrets, new_secret()][-MAX_SECRETS:]
    session.flush()
    return webhook


def disable(session: Session, tenant: Tenant, webhook_id: uuid.UUID) -> WebhookRecord:
    """Tell a webhook of nothing until it is enabled. What waits for it fails when it is due. Safe to repeat.

    Raises:
        NotFound: the tenant has no such webhook.

    """
    webhook = find(session, tenant, webhook_id, lock=True)
    webhook.disabled_at = webhook.disabled_at or now(session)
    session.flush()
    return webhook


def enable(session: Session, tenant: Tenant, webhook_id: uuid.UUID) -> WebhookRecord:
    """Tell a webhook of what happens from now on, whoever disabled it. Safe to repeat.

    Raises:
        NotFound: the tenant has no such webhook.

    """
    webhook = find(session, tenant, webhook_id, lock=True)
    webhook.disabled_at = None
    session.flush()
    return webhook


def remove(database: Database, tenant: Tenant, webhook_id: uuid.UUID) -> None:
    """Remove a webhook with its messages, in bounded batches. What is on its way at this moment may still arrive.

    Nothing more is written to it from the first moment on. If this dies in between, it can be called again.

    Raises:
        NotFound: the tenant has no such webhook.

    """
    with database.transaction() as session:
        disable(session, tenant, webhook_id)
    while _remove_messages(database, webhook_id):
        pass
    with database.transaction() as session:
        session.execute(delete(WebhookRecord).where(WebhookRecord.id == webhook_id))


def _remove_messages(database: Database, webhook_id: uuid.UUID) -> bool:
    """Remove the oldest messages. Return whether there may be more."""
    key = WebhookDeliveryRecord.event_id
    mine = WebhookDeliveryRecord.webhook_id == webhook_id
    with database.transaction() as session:
        last = session.scalar(select(key).where(mine).order_by(key).offset(BATCH_ROWS - 1).limit(1))
        session.execute(delete(WebhookDeliveryRecord).where(mine, *([] if last is None else [key <= last])))
    return last is not None
