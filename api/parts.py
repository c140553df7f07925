"""What the endpoints work with, made once per process, and how they ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.readiness import Readiness
from api.settings import ApiSettings
from api.watching import Watchers
from jobs.cards import CardShelf
from jobs.database import Database
from jobs.doorbell import Doorbell
from jobs.storage import Storages
from jobs.tenants import Tenant, tenant_of_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The process's connections and cards. Safe to share between threads, but for the watchers."""

    settings: ApiSettings
    database: Database
    storages: Storages
    doorbell: Doorbell
    shelf: CardShelf
    readiness: Readiness
    watchers: Watchers


@contextmanager
def opened(settings: ApiSettings, shelf: CardShelf) -> Iterator[Parts]:
    """Open the parts that settings name, and close them in the end. Connects to nothing yet."""
    database = Database(settings.database_url.get_secret_value())
    storages = Storages(s3_endpoint_url=settings.s3_endpoint_url, s3_region=settings.s3_region)
    doorbell = Doorbell(settings.broker_url.get_secret_value())
    readiness = Readiness(settings, database, storages, doorbell)
    try:
        yield Parts(
            settings=settings,
            database=database,
            storages=storages,
            doorbell=doorbell,
            shelf=shelf,
            readiness=readiness,
            watchers=Watchers(),
        )
    finally:
        readiness.close()
        doorbell.close()
        storages.close()
        database.close()


async def parts_of(request: Request) -> Parts:  # what is not async would cost a thread
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


AppParts = Annotated[Parts, Depends(parts_of)]


ApiKey = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    description="A key of a tenant. A service without any keys takes requests without one.",
)


async def key_of(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(ApiKey)]) -> str | None:
    """Return the key that a request carries."""
    return credentials.credentials if credentials else None


GivenKey = Annotated[str | None, Depends(key_of)]


def tenant_of(parts: AppParts, key: GivenKey) -> Tenant:
    """Return the tenant that a request speaks for.

    Raises:
        Unauthorized: the service has keys, and the request none of them.

    """
    with parts.database.reading() as session:
        return tenant_of_key(session, parts.settings, key)


CurrentTenant = Annotated[Tenant, Depends(tenant_of)]
