"""Tenants as callers meet them: a key, their own things, and 404 for everything else."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from api.app import create_app
from api.settings import ApiSettings
from jobs import claims, tenants
from jobs.database import Database
from jobs.records import JobRecord
from tests.factories import make_job, make_style

if TYPE_CHECKING:
    from pathlib import Path

    import httpx


@pytest.fixture
def keys(database: Database, clean: None) -> dict[str, str]:
    """The keys of two tenants."""
    with database.transaction() as session:
        found = {}
        for name in ("acme", "other"):
            tenants.add_tenant(session, name)
            found[name] = tenants.add_key(session, name)
        return found


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_without_a_key_nothing_is_answered_but_health(api: httpx.Client, keys: dict[str, str]) -> None:
    paths = create_app(ApiSettings()).openapi()["paths"]
    refused = 0
    for path, operations in paths.items():
        for method, operation in operations.items():
            at = (
                path.format(
                    job_id=uuid.uuid4(),
                    **dict.fromkeys(("name", "webhook_id", "delivery_id"), uuid.uuid4()),
                    no=0,
                )
                if "{" in path
                else path
            )
            for headers in ({}, bearer("rsk_wrong"), {"Authorization": "Basic YTpi"}):
                answer = api.request(method, at, headers=headers)
                if not path.startswith("/v1/"):
                    assert answer.status_code != 401, path
                    assert "security" not in operation
                    continue
                assert answer.status_code == 401, (method, path)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert answer.json()["code"] == "unauthorized"
                assert "401" in operation["responses"]
                refused += 1
    assert refused > 20


def test_a_tenant_sees_its_own_and_404_for_what_is_anothers(
    api: httpx.Client, keys: dict[str, str], database: Database
) -> None:
    with database.transaction() as session:
        job = make_job(session, tenant_id="acme", items=1)
        make_style(session, "warm", tenant_id="acme")
    paths = [f"/v1/jobs/{job.id}", f"/v1/jobs/{job.id}/items", "/v1/styles/warm"]
    for path in paths:
        assert api.get(path, headers=bearer(keys["acme"])).status_code == 200, path
        assert api.get(path, headers=bearer(keys["other"])).status_code == 404, path
    assert api.post(f"/v1/jobs/{job.id}/cancel", headers=bearer(keys["other"])).status_code == 404
    for name, count in (("acme", 1), ("other", 0)):
        for path in ("/v1/jobs", "/v1/styles"):
            assert len(api.get(path, headers=bearer(keys[name])).json()["data"]) == count


def test_a_tenant_reads_within_its_places_only(
    api: httpx.Client, keys: dict[str, str], database: Database, storage_folder: Path, job_request: dict[str, Any]
) -> None:
    headers = bearer(keys["acme"])
    refused = api.post("/v1/jobs", json=job_request, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "source_not_allowed")
    with database.transaction() as session:
        tenants.set_tenant(session, "acme", allowed_prefixes=[f"file://{storage_folder}/catalogue/"])
    accepted = api.post("/v1/jobs", json=job_request, headers=headers)
    assert accepted.status_code == 202, accepted.text
    with database.reading() as session:
        job = session.get_one(JobRecord, uuid.UUID(accepted.json()["id"]))
        assert job.tenant_id == "acme"
        assert f"/storage/tenants/acme/results/{job.id}/" in job.output_url


def test_tenants_enqueue_over_http_and_are_served_by_their_weights(
    api: httpx.Client, keys: dict[str, str], database: Database
) -> None:
    with database.transaction() as session:
        tenants.set_tenant(session, "acme", weight=3)
        for name in keys:
            make_job(session, tenant_id=name, items=24, shard_size=1)
    served = []
    for _ in range(24):
        with database.transaction() as session:
            [claim] = claims.claim(session, worker_id=uuid.uuid4(), queue="gpu", lease_seconds=60)
            served.append(session.get_one(JobRecord, claim.lease.job_id).tenant_id)
    assert served.count("acme") == 18
    assert [len(api.get("/v1/jobs", headers=bearer(key)).json()["data"]) for key in keys.values()] == [1, 1]
