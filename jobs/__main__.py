"""`python -m jobs`: tenants and their keys, for whoever runs the service. It needs the database, not the API."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from jobs import tenants
from jobs.database import Database
from jobs.errors import JobsError
from jobs.records import TenantRecord
from jobs.settings import Settings

Command = Callable[[Session, argparse.Namespace], list[str]]

LIMITS = ("weight", "max_workers", "max_items_per_minute", "allowed_prefixes")
DIGEST_SHOWN = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what a command line says. Return the exit code: 2 where it cannot be done."""
    given = _parser().parse_args(arguments)
    database = Database(Settings().database_url.get_secret_value())
    command: Command = given.run
    try:
        with database.transaction() as session:
            lines = command(session, given)
    except JobsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    finally:
        database.close()
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="restyle", description="Tenants and their keys.")
    groups = parser.add_subparsers(required=True, metavar="tenants|keys")

    verbs = groups.add_parser("tenants", help="who shares the service, and how").add_subparsers(required=True)
    for verb, run in (("add", _add_tenant), ("set", _set_tenant)):
        command = verbs.add_parser(verb, help=f"{verb} a tenant")
        command.add_argument("tenant")
        command.add_argument("--weight", type=float, help="share beside the others of the same priority; 1 at first")
        command.add_argument("--max-workers", type=_limit, metavar="N", help="most at the same time; none: no limit")
        command.add_argument("--max-items-per-minute", type=_limit, metavar="N", help="on average; none: no limit")
        command.add_argument(
            "--allow",
            dest="allowed_prefixes",
            action="append",
            metavar="URL",
            help="where it may read and write, repeatable; none: wherever the service's settings allow",
        )
        command.set_defaults(run=run)
    verbs.add_parser("list", help="list the tenants").set_defaults(run=_list_tenants)

    verbs = groups.add_parser("keys", help="secrets that speak for tenants").add_subparsers(required=True)
    command = verbs.add_parser("add", help="make a key and show it, this once")
    command.add_argument("tenant")
    command.set_defaults(run=_add_key)
    command = verbs.add_parser("revoke", help="refuse a key from now on")
    command.add_argument("digest", help="the first characters of its digest, as `keys list` shows them")
    command.add_argument("--last", action="store_true", help="also if it is the last: the service is open then")
    command.set_defaults(run=_revoke_key)
    verbs.add_parser("list", help="list the keys, without the secrets").set_defaults(run=_list_keys)
    return parser


def _limit(text: str) -> int | str:
    return text if text == "none" else int(text)


def _limits(given: argparse.Namespace) -> dict[str, Any]:
    """Return the limits that were given; `none` lifts one."""
    named = {name: getattr(given, name) for name in LIMITS if getattr(given, name) is not None}
    return {name: None if value in ("none", ["none"]) else value for name, value in named.items()}


def _add_tenant(session: Session, given: argparse.Namespace) -> list[str]:
    return [_line(tenants.add_tenant(session, given.tenant, **_limits(given)))]


def _set_tenant(session: Session, given: argparse.Namespace) -> list[str]:
    return [_line(tenants.set_tenant(session, given.tenant, **_limits(given)))]


def _list_tenants(session: Session, _given: argparse.Namespace) -> list[str]:
    return [_line(tenant) for tenant in tenants.tenant_rows(session)]


def _line(tenant: TenantRecord) -> str:
    limits = (f"{name}={_shown(getattr(tenant, name))}" for name in LIMITS)
    return " ".join((tenant.id, *limits))


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return ",".join(value) if isinstance(value, list) else f"{value:g}"


def _add_key(session: Session, given: argparse.Namespace) -> list[str]:
    return [tenants.add_key(session, given.tenant)]


def _revoke_key(session: Session, given: argparse.Namespace) -> list[str]:
    revoked = tenants.revoke_key(session, given.digest, even_the_last=given.last)
    return [f"{revoked.sha256[:DIGEST_SHOWN]} of {revoked.tenant_id} is revoked"]


def _list_keys(session: Session, _given: argparse.Namespace) -> list[str]:
    return [
        f"{key.sha256[:DIGEST_SHOWN]} {key.tenant_id} {key.created_at.isoformat(timespec='seconds')}"
        for key in tenants.key_rows(session)
    ]


if __name__ == "__main__":
    sys.exit(main())
