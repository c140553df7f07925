"""Tenants and keys: who may do what, and the command that says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from jobs import tenants
from jobs.__main__ import main
from jobs.database import Database
from jobs.errors import Conflict, InvalidRequest, NotFound, Unauthorized
from jobs.records import ApiKeyRecord, TenantRecord
from jobs.settings import Settings
from jobs.tenants import Tenant
from tests.factories import make_job


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        storage_url="s3://own/restyle", allowed_prefixes=("s3://shop/",), database_url=SecretStr("sqlite:///none")
    )


def allowed(tenant: Tenant) -> list[str]:
    return list(map(str, tenant.allowed_prefixes))


def test_without_keys_everybody_is_the_one_tenant(database: Database, settings: Settings) -> None:
    with database.reading() as session:
        for key in (None, "anything"):
            tenant = tenants.tenant_of_key(session, settings, key)
            assert tenant == tenants.default_tenant(settings)
            assert allowed(tenant) == ["s3://own/restyle/", "s3://shop/"]


def test_with_keys_each_speaks_for_its_tenant_and_nothing_else_does(database: Database, settings: Settings) -> None:
    with database.transaction() as session:
        tenants.add_tenant(session, "acme", allowed_prefixes=["s3://acme/a"])
        tenants.add_tenant(session, "other")
        key, other = tenants.add_key(session, "acme"), tenants.add_key(session, "other")
    with database.reading() as session:
        found = tenants.tenant_of_key(session, settings, key)
        assert (found.id, allowed(found)) == ("acme", ["s3://own/restyle/tenants/acme/", "s3://acme/a/"])
        found = tenants.tenant_of_key(session, settings, other)
        assert (found.id, allowed(found)) == ("other", ["s3://own/restyle/tenants/other/", "s3://shop/"])
        for wrong in (None, "", key[:-1], key + " ", "acme"):
            with pytest.raises(Unauthorized):
                tenants.tenant_of_key(session, settings, wrong)


def test_a_key_is_not_kept(database: Database) -> None:
    with database.transaction() as session:
        key = tenants.add_key(session, "default")
        kept = session.scalars(select(ApiKeyRecord)).one()
        assert key not in str(vars(kept))


def test_a_job_is_planned_from_the_places_of_its_own_tenant(database: Database, settings: Settings) -> None:
    with database.transaction() as session:
        tenants.add_tenant(session, "acme", allowed_prefixes=["s3://acme/"])
        acme, default = make_job(session, tenant_id="acme").id, make_job(session).id
        assert "s3://shop/" not in allowed(tenants.tenant_of_job(session, settings, acme))
        assert "s3://acme/" in allowed(tenants.tenant_of_job(session, settings, acme))
        assert allowed(tenants.tenant_of_job(session, settings, default)) == ["s3://own/restyle/", "s3://shop/"]


def test_what_makes_no_sense_is_refused(database: Database) -> None:
    with database.transaction() as session:
        tenants.add_tenant(session, "acme")
        for name in ("", "Acme", "a/b", "-a", "a" * 64):
            with pytest.raises(InvalidRequest):
                tenants.add_tenant(session, name)
        for limit in ({"weight": 0}, {"weight": None}, {"max_workers": 0}, {"max_items_per_minute": -1}):
            with pytest.raises((InvalidRequest, TypeError)):
                tenants.set_tenant(session, "acme", **limit)
        with pytest.raises(InvalidRequest):
            tenants.set_tenant(session, "acme", allowed_prefixes=["http://shop/"])
        with pytest.raises(Conflict):
            tenants.add_tenant(session, "acme")
        for ask in (tenants.set_tenant, tenants.add_key):
            with pytest.raises(NotFound):
                ask(session, "nobody")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_the_command_adds_changes_and_lists(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESTYLE_DATABASE_URL", database_url)
    run(
        capsys,
        "tenants",
        "add",
        "acme",
        "--weight",
        "2.5",
        "--max-workers",
        "3",
        "--allow",
        "s3://one/",
        "--allow",
        "s3://two/",
    )
    assert run(capsys, "tenants", "list") == (
        "acme weight=2.5 max_workers=3 max_items_per_minute=none allowed_prefixes=s3://one/,s3://two/\n"
    )
    run(capsys, "tenants", "set", "acme", "--max-workers", "none", "--max-items-per-minute", "60", "--allow", "none")
    with database.reading() as session:
        acme = session.get_one(TenantRecord, "acme")
        assert (acme.weight, acme.max_workers, acme.max_items_per_minute) == (2.5, None, 60)
        assert acme.allowed_prefixes is None
        assert acme.rate_balance == 60


def test_the_command_makes_keys_and_revokes_them_but_not_the_last_by_mistake(
    database: Database,
    database_url: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RESTYLE_DATABASE_URL", database_url)
    run(capsys, "tenants", "add", "acme")
    old, new = (run(capsys, "keys", "add", "acme").strip() for _ in range(2))
    listed = run(capsys, "keys", "list")
    assert re.fullmatch(r"(?:[0-9a-f]{12} acme \S+\n){2}", listed)
    assert old not in listed
    first, second = (line.split()[0] for line in listed.splitlines())
    run(capsys, "keys", "revoke", first)
    assert main(["keys", "revoke", second]) == 2
    assert "last key" in capsys.readouterr().err
    assert main(["keys", "revoke", first]) == 2
    assert main(["keys", "revoke", ""]) == 2
    with database.reading() as session:
        known = []
        for key in (old, new):
            try:
                known.append(tenants.tenant_of_key(session, settings, key).id)
            except Unauthorized:
                known.append("refused")
        assert sorted(known) == ["acme", "refused"]
    run(capsys, "keys", "revoke", second, "--last")
    with database.reading() as session:
        assert tenants.tenant_of_key(session, settings, None).id == "default"
