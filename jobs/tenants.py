"""Whose jobs they are, and where a tenant may read and write."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.locations import Location
from jobs.settings import Settings

DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One customer of this service. Every query names its id; foreign rows are as good as absent."""

    id: str
    allowed_prefixes: tuple[Location, ...]  # sources and outputs lie within one of these


def default_tenant(settings: Settings) -> Tenant:
    """Return the one tenant of a service without accounts.

    Raises:
        InvalidRequest: an allowed prefix or the storage's URL is no location.

    """
    own = Location.parse(settings.storage_url, field="storage_url").as_prefix()
    others = (Location.parse(url, field="allowed_prefixes").as_prefix() for url in settings.allowed_prefixes)
    return Tenant(id=DEFAULT, allowed_prefixes=(own, *others))
