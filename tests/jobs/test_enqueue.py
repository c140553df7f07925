"""Enqueueing: what a row says, and the race for an idempotency key, on both databases."""

from __future__ import annotations

import datetime
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from jobs.cards import Card, CardShelf
from jobs.checks import CheckedRequest, check_request
from jobs.enqueue import Enqueued, enqueue, find_replay
from jobs.errors import InvalidRequest
from jobs.locations import Location
from jobs.recipes import JobRequest
from jobs.records import JobRecord
from jobs.settings import Settings
from jobs.states import JobState
from jobs.storage import Storages
from jobs.tenants import Tenant, default_tenant
from tests.factories import make_style

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.database import Database

MOMENT = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "a.jpg").write_bytes(b"x")
    return Settings(storage_url=f"file://{tmp_path}")


@pytest.fixture
def tenant(settings: Settings) -> Tenant:
    return default_tenant(settings)


def shelf_of(tmp_path: Path, **card: Any) -> CardShelf:
    parameters = {"amount": {"type": "number", "description": "", "default": 0.5, "minimum": 0, "maximum": 1}}
    whole = Card(
        **{
            "name": "tint",
            "version": "1",
            "operation": "restyle",
            "architecture": "tint",
            "summary": "",
            "needs_style": False,
            "licence": "MIT",
            "parameters": parameters,
        }
        | card
    )
    (tmp_path / "cards" / "tint").mkdir(parents=True, exist_ok=True)
    (tmp_path / "cards" / "tint" / "model.json").write_text(whole.model_dump_json())
    return CardShelf(tmp_path / "cards")


def request_for(tmp_path: Path, **changes: Any) -> JobRequest:
    source = {"type": "prefix", "url": f"file://{tmp_path}/catalogue"}
    return JobRequest.model_validate({"recipe": {"model": "tint"}, "source": source} | changes)


def checked(tmp_path: Path, tenant: Tenant, *, card: dict[str, Any] | None = None, **changes: Any) -> CheckedRequest:
    shelf = shelf_of(tmp_path, **card or {})
    return check_request(
        request_for(tmp_path, **changes), tenant, shelf=shelf, storages=Storages(), styles={}, moment=MOMENT
    )


def test_the_row_of_a_job_is_complete(database: Database, settings: Settings, tenant: Tenant, tmp_path: Path) -> None:
    one = checked(tmp_path, tenant, priority=3)
    with database.transaction() as session:
        job = enqueue(session, one, tenant, settings=settings, idempotency_key="k").job
    with database.reading() as session:
        job = session.scalars(select(JobRecord)).one()
    assert (job.state, job.tenant_id, job.queue, job.priority) == (JobState.PLANNING, "default", "gpu", 3)
    assert job.recipe["parameters"] == {"amount": 0.5}
    assert job.source["url"] == f"file://{tmp_path}/catalogue/"
    assert job.output_url == f"file://{tmp_path}/results/{job.id}/"
    assert (job.planned_item_count, job.planned_shard_count, job.planned_at) == (0, 0, None)
    assert job.id.version == 7


def test_an_output_of_the_callers_own_ends_in_a_slash(
    database: Database, settings: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    one = checked(tmp_path, tenant, output_url=f"file://{tmp_path}/out")
    with database.transaction() as session:
        assert enqueue(session, one, tenant, settings=settings).job.output_url == f"file://{tmp_path}/out/"


def test_the_fingerprint_follows_what_changes_pixels_and_nothing_else(
    database: Database, tenant: Tenant, tmp_path: Path
) -> None:
    plain = checked(tmp_path, tenant).fingerprint
    assert checked(tmp_path, tenant, priority=9, output_url=f"file://{tmp_path}/out").fingerprint == plain
    assert checked(tmp_path, tenant, recipe={"model": "tint", "parameters": {"amount": 0.5}}).fingerprint == plain
    others = {
        checked(tmp_path, tenant, recipe={"model": "tint", "parameters": {"amount": 0.6}}).fingerprint,
        checked(tmp_path, tenant, card={"weights_sha256": "0" * 64}).fingerprint,
        checked(tmp_path, tenant, recipe={"model": "tint", "quality": 80}).fingerprint,
    }
    with database.transaction() as session:
        for name in ("warm", "cold"):
            found = {"look": make_style(session, name)}
            request = request_for(tmp_path, recipe={"model": "tint", "style": "look"})
            shelf = shelf_of(tmp_path, needs_style=True)
            one = check_request(request, tenant, shelf=shelf, storages=Storages(), styles=found, moment=MOMENT)
            others.add(one.fingerprint)
    assert len(others | {plain}) == 6


def test_a_recipe_of_several_models_is_completed_from_every_card(tenant: Tenant, tmp_path: Path) -> None:
    twice = {"model": "tint", "then": [{"model": "tint", "parameters": {"amount": 1}, "on": "product"}]}
    one = checked(tmp_path, tenant, recipe=twice)
    assert (one.recipe.parameters, one.recipe.on) == ({"amount": 0.5}, None)
    assert [step.model_dump() for step in one.recipe.then] == [
        {"model": "tint", "style": None, "parameters": {"amount": 1}, "on": "product"}
    ]
    assert one.fingerprint != checked(tmp_path, tenant, card={"weights_sha256": "0" * 64}, recipe=twice).fingerprint


def test_a_model_acts_where_its_card_says_unless_the_recipe_does(tenant: Tenant, tmp_path: Path) -> None:
    paints = {"acts_on": "background"}
    plain = checked(tmp_path, tenant, card=paints)
    assert (plain.recipe.on, plain.recipe.needs_mask) == ("background", True)
    everywhere = checked(tmp_path, tenant, card=paints, recipe={"model": "tint", "on": "all"})
    assert (everywhere.recipe.on, everywhere.recipe.needs_mask) == ("all", False)
    assert everywhere.recipe.model_dump(mode="json")["on"] == "all", "what is read back does the same"


def test_of_many_inserts_with_one_key_one_makes_the_job(
    database: Database, settings: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    one = checked(tmp_path, tenant)
    start = threading.Barrier(6)

    def insert(_: int) -> Enqueued:
        start.wait()
        with database.transaction() as session:  # nobody looks before: the unique key alone must decide
            return enqueue(session, one, tenant, settings=settings, idempotency_key="k")

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(insert, range(6)))
    assert sum(not result.replayed for result in results) == 1
    assert len({result.job.id for result in results}) == 1
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(JobRecord)) == 1


def test_a_key_that_another_request_took_meanwhile_is_refused(
    database: Database, settings: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    with database.transaction() as session:
        enqueue(session, checked(tmp_path, tenant), tenant, settings=settings, idempotency_key="k")
    other = checked(tmp_path, tenant, priority=1)
    with pytest.raises(InvalidRequest) as refused, database.transaction() as session:
        enqueue(session, other, tenant, settings=settings, idempotency_key="k")
    assert refused.value.code == "idempotency_key_reused"


def test_tenants_do_not_share_keys(database: Database, settings: Settings, tenant: Tenant, tmp_path: Path) -> None:
    other = Tenant(id="other", allowed_prefixes=tenant.allowed_prefixes)
    one = checked(tmp_path, tenant)
    with database.transaction() as session:
        first = enqueue(session, one, tenant, settings=settings, idempotency_key="k")
        assert find_replay(session, other, request_for(tmp_path), "k") is None
        second = enqueue(session, one, other, settings=settings, idempotency_key="k")
    assert (first.replayed, second.replayed) == (False, False)


def test_a_tenant_may_use_its_prefixes_and_the_services_own_storage() -> None:
    settings = Settings(storage_url="s3://restyle/", allowed_prefixes=("s3://shop/catalogue", "file:///photos/"))
    assert default_tenant(settings).allowed_prefixes == (
        Location.parse("s3://restyle/"),
        Location.parse("s3://shop/catalogue/"),
        Location.parse("file:///photos/"),
    )
