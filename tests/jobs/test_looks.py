"""Looks by rules: which rule holds for an item, what a claim brings of it, and what a request may ask for."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import update

from jobs.cards import Card, CardShelf
from jobs.checks import CheckedRequest, check_request
from jobs.database import Database
from jobs.errors import InvalidRequest
from jobs.recipes import JobRequest, Recipe
from jobs.records import ItemRecord, StyleRecord
from jobs.rules import Rule
from jobs.settings import Settings
from jobs.storage import Storages
from jobs.tenants import default_tenant
from tests.factories import make_job, make_recipe, make_style
from tests.jobs.test_enqueue import MOMENT
from tests.jobs.test_leases import expire, must_claim, settle, succeed

AUTUMN = {"when": {"season": "autumn"}, "style": "autumn"}
DEAR = {"when": {"price": {"minimum": 100}}, "parameters": {"strength": 0.4}}
WINTER = {"when": {"season": "winter"}, "style": "winter", "parameters": {"strength": 0.7}}


def planned(database: Database, *rows: dict[str, Any] | None, **recipe: Any) -> uuid.UUID:
    """Insert a job with an item for each row, and the styles that its rules name; return its id."""
    with database.transaction() as session:
        warm = make_style(session)
        make_style(session, "autumn")
        make_style(session, "winter")
        given = make_recipe(rules=[AUTUMN, DEAR, WINTER], **recipe)
        job = make_job(session, items=len(rows), shard_size=4, recipe=given, style_id=warm.id)
        for number, row in enumerate(rows):
            chosen = (ItemRecord.job_id == job.id, ItemRecord.item_no == number)
            session.execute(update(ItemRecord).where(*chosen).values(attributes=row))
        return job.id


def test_a_claim_says_of_each_item_which_rule_chooses_its_look_also_when_the_shard_is_rescued(
    database: Database,
) -> None:
    rows: list[dict[str, Any] | None] = [
        {"season": "winter", "price": "20"},
        {"season": "autumn", "price": "250"},  # two hold: the first counts
        {"season": "spring", "price": 250.5, "mask_key": "s3://shop/mask.png"},  # a number, as JSONL has it
        {"season": ["winter"], "price": "dear"},
        None,
    ]
    planned(database, *rows)
    claimed = must_claim(database)
    assert [item.rule_no for item in claimed.items] == [2, 0, 1, None]
    assert claimed.items[2].mask_url == "s3://shop/mask.png"
    assert claimed.styles.keys() == {"warm", "autumn", "winter"}
    assert [item.rule_no for item in must_claim(database).items] == [None]
    settle(database, claimed, succeed([1]))
    expire(database, claimed)
    again = must_claim(database)
    assert [(item.item_no, item.rule_no) for item in again.items] == [(0, 2), (2, 1), (3, None)]


def test_what_a_rule_does_not_say_stays_as_the_recipe_has_it() -> None:
    recipe = make_recipe(rules=[AUTUMN, DEAR, WINTER], then=[{"model": "reinhard", "style": "late"}])
    found = [recipe.under(number) for number in range(3)]
    assert [(each.style, each.parameters) for each in found] == [
        ("autumn", {"strength": 1.0}),
        ("warm", {"strength": 0.4}),
        ("winter", {"strength": 0.7}),
    ]
    assert all(each.then == recipe.then and not each.rules for each in found)
    assert recipe.styles == {"warm", "autumn", "winter", "late"}
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    with pytest.raises(ValidationError, match="say what becomes of those rows"):
        Rule.model_validate({"when": {"season": "autumn"}})


def checked(folder: Path, styles: dict[str, StyleRecord], rules: list[dict[str, Any]], **recipe: Any) -> CheckedRequest:
    (folder / "rows.csv").write_text("key,season\na.jpg,autumn\n")
    parameters = {
        "strength": {"type": "number", "description": "", "default": 1.0, "minimum": 0, "maximum": 1},
        "local": {"type": "number", "description": "", "default": 0.0, "minimum": 0, "maximum": 1, "local": True},
    }
    card = {"version": "1", "operation": "restyle", "summary": "", "licence": "MIT", "parameters": parameters}
    for name, needs_style in (("look", True), ("plain", False)):
        whole = Card.model_validate(
            card | {"name": name, "architecture": name, "needs_style": needs_style, "tables": True}
        )
        (folder / "cards" / name).mkdir(parents=True, exist_ok=True)
        (folder / "cards" / name / "model.json").write_text(whole.model_dump_json())
    request = {
        "recipe": {"model": "look", "style": "warm", "rules": rules} | recipe,
        "source": {"type": "manifest", "url": f"file://{folder}/rows.csv"},
    }
    return check_request(
        JobRequest.model_validate(request),
        default_tenant(Settings(storage_url=f"file://{folder}")),
        shelf=CardShelf(folder / "cards"),
        storages=Storages(),
        styles=styles,
        moment=MOMENT,
    )


def test_a_look_that_the_model_or_the_tenant_does_not_have_is_refused_by_the_number_of_its_rule(
    database: Database, tmp_path: Path
) -> None:
    with database.transaction() as session:
        styles = {name: make_style(session, name) for name in ("warm", "autumn", "winter")}
    whole = checked(tmp_path, styles, [AUTUMN, DEAR, WINTER])
    assert whole.recipe.rules[1].parameters == {"strength": 0.4}  # as it was given: a retry may change the rest
    when = {"season": "autumn"}
    for rule, members, field in (
        ({"style": "none"}, {}, "recipe.rules.1.style"),
        ({"style": "autumn"}, {"model": "plain", "style": None}, "recipe.rules.1.style"),
        ({"parameters": {"strength": 2}}, {}, "recipe.rules.1.parameters.strength"),
        ({"parameters": {"speed": 1}}, {}, "recipe.rules.1.parameters.speed"),
        ({"parameters": {"local": 0.5}}, {"format": "cube"}, "recipe.rules.1.parameters.local"),
        ({"attributes": {"kind": "mug"}}, {}, "recipe.rules.1.attributes"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            checked(tmp_path, styles, [DEAR, {"when": when} | rule], **members)
        assert field in [problem.field for problem in caught.value.problems]

    other = {**styles, "autumn": StyleRecord(name="autumn", sha256="0" * 64)}
    rules = [[AUTUMN, DEAR, WINTER], [DEAR, AUTUMN, WINTER], [AUTUMN, WINTER]]
    found = {checked(tmp_path, given, each).fingerprint for given in (styles, other) for each in rules}
    assert len(found) == 6  # what the looks are counts, and their order
