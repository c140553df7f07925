"""What may be asked of each operation, over HTTP: what it has no use for is refused, and says what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from api.app import create_app
from jobs.cards import CardShelf
from tests.api.conftest import CARD, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from api.settings import ApiSettings

CONFIGS: dict[str, dict[str, Any]] = {
    "restyle": {},
    "generate": {"side_px": 64, "attributes": {"kind": ["mug", "shoe"]}},
    "translate": {},
    "upscale": {"scale": 2},
    "inpaint": {},
}


@pytest.fixture
def api(settings: ApiSettings, clean: None, tmp_path: Path) -> Iterator[httpx.Client]:
    """An API with one model for each operation, named after it."""
    for operation, config in CONFIGS.items():
        (tmp_path / operation).mkdir()
        card = CARD | {"name": operation, "operation": operation, "architecture": operation, "config": config}
        (tmp_path / operation / "model.json").write_text(json.dumps(card | {"parameters": {}}))
    with serving(create_app(settings, shelf=CardShelf(tmp_path))) as client:
        yield client


def ask(api: httpx.Client, operation: str, source: dict[str, Any], **members: Any) -> httpx.Response:
    recipe = {"operation": operation, "model": operation} | members
    return api.post("/v1/jobs", json={"recipe": recipe, "source": source, "validate_only": True})


def test_each_operation_takes_its_own_sources(api: httpx.Client, storage_folder: Path) -> None:
    prefix = {"type": "prefix", "url": f"file://{storage_folder}/"}
    manifest = {"type": "manifest", "url": f"file://{storage_folder}/manifest.csv"}
    (storage_folder / "manifest.csv").write_text("key,mask_key\na.jpg,b.png\n")
    count = {"type": "count", "count": 20}
    taken = {
        operation: [ask(api, operation, source).status_code for source in (prefix, manifest, count)]
        for operation in CONFIGS
    }
    assert taken == {
        "restyle": [200, 200, 422],
        "generate": [422, 200, 200],
        "translate": [200, 200, 422],
        "upscale": [200, 200, 422],
        "inpaint": [422, 200, 422],
    }
    ruled = {"rules": [{"when": {"price": "1"}, "style": "autumn"}]}
    for refused in (ask(api, "restyle", count).json(), ask(api, "restyle", prefix, **ruled).json()):
        assert "source.type" in [problem["field"] for problem in refused["errors"]]
    assert ask(api, "restyle", count).json()["code"] == "source_not_for_operation"


@pytest.mark.parametrize(
    ("operation", "members", "field"),
    [
        ("restyle", {"attributes": {"kind": "mug"}}, "recipe.attributes"),
        ("restyle", {"seed": 7}, "recipe.seed"),
        ("generate", {"attributes": {"kind": "hat"}}, "recipe.attributes.kind"),
        ("generate", {"attributes": {"season": "winter"}}, "recipe.attributes.season"),
        (
            "generate",
            {"rules": [{"when": {"price": {"below": 20}}, "attributes": {"kind": "hat"}}]},
            "recipe.rules.0.attributes.kind",
        ),
        ("generate", {"rules": [{"when": {}, "attributes": {"kind": "mug"}}]}, "recipe.rules.0.when"),
        ("generate", {"rules": [{"when": {"price": "1"}, "style": "autumn"}]}, "recipe.rules.0.style"),
        ("generate", {"rules": [{"when": {"price": "1"}}]}, "recipe.rules.0"),
        ("restyle", {"rules": [{"when": {"price": "1"}, "attributes": {"kind": "mug"}}]}, "recipe.rules.0.attributes"),
        ("restyle", {"rules": [{"when": {"price": "1"}, "style": "autumn"}]}, "recipe.rules.0.style"),
        ("translate", {"rules": [{"when": {"price": "1"}, "attributes": {"kind": "mug"}}]}, "recipe.rules"),
        ("generate", {"seed": -1}, "recipe.seed"),
        ("generate", {"on": "product"}, "recipe.on"),
        ("generate", {"gates": {"structure": {"minimum": 0.9}}}, "recipe.gates"),
        ("generate", {"format": "cube"}, "recipe.format"),
        ("generate", {"then": [{"model": "restyle", "on": "background"}]}, "recipe.then"),
        ("translate", {"background": {"type": "colour", "colour": "#ffffff"}}, "recipe.background"),
        ("upscale", {"then": [{"model": "restyle"}]}, "recipe.then"),
        ("upscale", {"model": "restyle"}, "recipe.model"),
        ("inpaint", {"mask": "alpha"}, "recipe.mask"),
        ("inpaint", {"background": {"type": "colour", "colour": "#ffffff"}}, "recipe.background"),
    ],
)
def test_what_an_operation_has_no_use_for_is_refused_by_name(
    api: httpx.Client, storage_folder: Path, operation: str, members: dict[str, Any], field: str
) -> None:
    (storage_folder / "manifest.csv").write_text("key,mask_key\na.jpg,b.png\n")
    source = {"type": "manifest", "url": f"file://{storage_folder}/manifest.csv"}
    answer = ask(api, operation, source, **members)
    assert answer.status_code == 422
    assert field in [problem["field"] for problem in answer.json()["errors"]]


def test_a_recipe_without_what_came_later_is_written_as_it_was(api: httpx.Client, storage_folder: Path) -> None:
    source = {"type": "prefix", "url": f"file://{storage_folder}/"}
    assert {"attributes", "seed"}.isdisjoint(ask(api, "restyle", source).json()["recipe"])
    made = ask(
        api, "generate", {"type": "count", "count": 3}, attributes={"kind": "mug"}, seed=7, then=[{"model": "restyle"}]
    )
    recipe = made.json()["recipe"]
    assert (recipe["attributes"], recipe["seed"], recipe["then"][0]["model"]) == ({"kind": "mug"}, 7, "restyle")
