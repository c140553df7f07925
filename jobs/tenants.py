"""Whose jobs they are, where a tenant may read and write, and the keys that speak for it.

While there are no keys the service is open: whoever reaches it is the tenant `default`. From the first key on every
request needs one, and what a tenant makes in the service's own storage lies in a folder of its own.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, case, delete, exists, func, literal, select
from sqlalchemy.orm import Session

from jobs.database import now
from jobs.errors import Conflict, InvalidRequest, NotFound, Problem, Unauthorized
from jobs.locations import Location
from jobs.records import ApiKeyRecord, JobRecord, TenantRecord
from jobs.settings import Settings

DEFAULT = "default"
TENANT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")  # it is a segment of keys in storage
KEY_PREFIX = "rsk_"  # so that people and scanners for secrets recognise one
KEY_BYTES = 32
MIN_DIGEST_LENGTH = 8  # of what names a key: enough of its digest to be the only one


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One customer of this service. Every query names its id; foreign rows are as good as absent."""

    id: str
    allowed_prefixes: tuple[Location, ...]  # sources and outputs lie within one of these
    folder: str = ""  # within the service's storage, for results without an output_url


def default_tenant(settings: Settings) -> Tenant:
    """Return the one tenant of a service without keys.

    Raises:
        InvalidRequest: an allowed prefix or the storage's URL is no location.

    """
    return _tenant(settings, DEFAULT, None, keyed=False)


def tenant_of_key(session: Session, settings: Settings, key: str | None) -> Tenant:
    """Return the tenant that a request with this key speaks for.

    Raises:
        Unauthorized: there are keys, and this is none of them.

    """
    if key is not None:
        of_key = session.execute(_TENANT_OF_KEY, {"sha256": digest_of(key)}).one_or_none()
        if of_key is not None:
            return _tenant(settings, of_key[0], of_key[1], keyed=True)
    keyed, row = session.execute(_TENANT_WITHOUT_KEY).one()
    if keyed:
        raise Unauthorized
    return _tenant(settings, DEFAULT, row, keyed=False)


def tenant_of_job(session: Session, settings: Settings, job_id: uuid.UUID) -> Tenant:
    """Return the tenant of a job, as it is now: a prefix that was taken from it is not planned from any more."""
    tenant_id, row = session.execute(
        select(JobRecord.tenant_id, TenantRecord)
        .outerjoin(TenantRecord, TenantRecord.id == JobRecord.tenant_id)
        .where(JobRecord.id == job_id)
    ).one()
    return _tenant(settings, tenant_id, row, keyed=_has_keys(session))


def add_tenant(session: Session, tenant_id: str, **limits: Any) -> TenantRecord:
    """Add a tenant. `limits`: weight, max_workers, max_items_per_minute, allowed_prefixes.

    Raises:
        InvalidRequest: the id or a limit is of no use.
        Conflict: there is such a tenant.

    """
    if not TENANT_ID.fullmatch(tenant_id):
        remedy = "use 1 to 63 lower-case letters, digits, hyphens and underscores, the first a letter or digit"
        raise InvalidRequest(Problem(field="tenant", value=tenant_id, remedy=remedy))
    if session.get(TenantRecord, tenant_id) is not None:
        raise Conflict(f"there is a tenant {tenant_id} already: change it with `tenants set`")
    session.add(TenantRecord(id=tenant_id, created_at=now(session)))
    session.flush()
    return set_tenant(session, tenant_id, **limits)


def set_tenant(session: Session, tenant_id: str, **limits: Any) -> TenantRecord:
    """Change a tenant's limits; they hold from the next claim and the next request on. What is not named stays.

    Raises:
        InvalidRequest: a limit is of no use.
        NotFound: there is no such tenant.

    """
    tenant = session.get(TenantRecord, tenant_id, with_for_update=True)
    if tenant is None and tenant_id == DEFAULT:
        return add_tenant(session, tenant_id, **limits)
    if tenant is None:
        raise NotFound(f"there is no tenant {tenant_id}")
    for name, value in limits.items():
        _check_limit(name, value)
        setattr(tenant, name, value)
    if limits.get("max_items_per_minute") is not None:
        tenant.rate_balance = limits["max_items_per_minute"]
    session.flush()
    return tenant


def tenant_rows(session: Session) -> Sequence[TenantRecord]:
    """Return every tenant that has a row, by id."""
    return session.scalars(select(TenantRecord).order_by(TenantRecord.id)).all()


def add_key(session: Session, tenant_id: str) -> str:
    """Make a key for a tenant and return it. It cannot be read again: only its digest is kept.

    Raises:
        NotFound: there is no such tenant.

    """
    if session.get(TenantRecord, tenant_id) is None:
        if tenant_id != DEFAULT:
            raise NotFound(f"there is no tenant {tenant_id}: add it first")
        add_tenant(session, DEFAULT)
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    session.add(ApiKeyRecord(sha256=digest_of(key), tenant_id=tenant_id, created_at=now(session)))
    session.flush()
    return key


def revoke_key(session: Session, digest: str, *, even_the_last: bool = False) -> ApiKeyRecord:
    """Forget the key whose digest starts so, and return what was known of it.

    Raises:
        InvalidRequest: too few characters, or several keys start so.
        NotFound: no key does.
        Conflict: it is the last key; without any, everybody who reaches the service may use it.

    """
    if len(digest) < MIN_DIGEST_LENGTH:
        remedy = f"give at least {MIN_DIGEST_LENGTH} characters of a key's digest, see `keys list`"
        raise InvalidRequest(Problem(field="digest", value=digest, remedy=remedy))
    found = session.scalars(
        select(ApiKeyRecord).where(ApiKeyRecord.sha256.startswith(digest, autoescape=True)).limit(2)
    ).all()
    if not found:
        raise NotFound(f"there is no key with a digest that starts with {digest}")
    if len(found) > 1:
        raise InvalidRequest(Problem(field="digest", value=digest, remedy="give more of it: several start so"))
    if not even_the_last and session.scalar(select(func.count()).select_from(ApiKeyRecord)) == 1:
        raise Conflict("this is the last key: without any, everybody who reaches the service may use it")
    session.execute(delete(ApiKeyRecord).where(ApiKeyRecord.sha256 == found[0].sha256))
    return found[0]


def key_rows(session: Session) -> Sequence[ApiKeyRecord]:
    """Return what is known of every key, by tenant and age."""
    return session.scalars(select(ApiKeyRecord).order_by(ApiKeyRecord.tenant_id, ApiKeyRecord.created_at)).all()


def _tenant(settings: Settings, tenant_id: str, row: TenantRecord | None, *, keyed: bool) -> Tenant:
    folder = f"tenants/{tenant_id}/" if keyed else ""
    storage = Location.parse(settings.storage_url, field="storage_url").as_prefix()
    given = settings.allowed_prefixes if row is None or row.allowed_prefixes is None else row.allowed_prefixes
    others = (Location.parse(url, field="allowed_prefixes").as_prefix() for url in given)
    own = storage.child(folder) if folder else storage
    return Tenant(id=tenant_id, allowed_prefixes=(own, *others), folder=folder)


def _select_tenant_of_key() -> Select[str, TenantRecord | None]:
    return (
        select(ApiKeyRecord.tenant_id, TenantRecord)
        .outerjoin(TenantRecord, TenantRecord.id == ApiKeyRecord.tenant_id)
        .where(ApiKeyRecord.sha256 == bindparam("sha256"))
    )


def _select_tenant_without_key() -> Select[bool, TenantRecord | None]:
    default = select(literal(DEFAULT).label("id")).subquery()
    return (
        select(exists().select_from(ApiKeyRecord), TenantRecord)
        .select_from(default)
        .outerjoin(TenantRecord, TenantRecord.id == default.c.id)
    )


def keyed_tenant_id() -> ColumnElement[str]:
    """Return an expression for the tenant of the key with the digest `sha256`; null where there is none."""
    return select(ApiKeyRecord.tenant_id).where(ApiKeyRecord.sha256 == bindparam("sha256")).scalar_subquery()


def keyless_tenant_id() -> ColumnElement[str | None]:
    """Return an expression for the tenant of a request without a key; null where one is needed."""
    return case((~exists().select_from(ApiKeyRecord), literal(DEFAULT)))


# Built once: each request asks one of them.
_TENANT_OF_KEY = _select_tenant_of_key()
_TENANT_WITHOUT_KEY = _select_tenant_without_key()


def _has_keys(session: Session) -> bool:
    return bool(session.scalar(select(exists().select_from(ApiKeyRecord))))


def digest_of(key: str) -> str:
    # Keys are random, not chosen by people: a plain digest cannot be guessed back, and is found by an index.
    return hashlib.sha256(key.encode()).hexdigest()


def _check_limit(name: str, value: Any) -> None:
    if name == "allowed_prefixes":
        for url in value or ():
            Location.parse(url, field=name)
        return
    lifted = value is None and name != "weight"
    if not lifted and not 0 < value < float("inf"):
        raise InvalidRequest(Problem(field=name, value=value, remedy="give a number above 0"))
