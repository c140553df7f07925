"""Models over HTTP."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from api.app import create_app
from jobs.cards import BUILT_IN
from tests.api.conftest import serving

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from api.settings import ApiSettings


def test_models_are_listed_with_their_whole_cards(api: httpx.Client) -> None:
    models = api.get("/v1/models").json()["data"]
    assert [model["name"] for model in models] == ["finder", "identity", "reinhard", "still"]
    assert (models[0]["operation"], models[0]["config"]) == ("segment", {"side_px": 320})
    assert models[2]["needs_style"] is True
    assert models[2]["parameters"]["strength"]["maximum"] == 1
    assert api.get("/v1/models/reinhard").json() == models[2]


def test_an_unknown_model_is_not_found(api: httpx.Client) -> None:
    answer = api.get("/v1/models/nope")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_api_knows_the_models_of_its_folder(settings: ApiSettings, tmp_path: Path) -> None:
    shutil.copytree(BUILT_IN / "reinhard", tmp_path / "ours")
    card = json.loads((tmp_path / "ours" / "model.json").read_text(encoding="utf-8"))
    (tmp_path / "ours" / "model.json").write_text(json.dumps(card | {"name": "ours"}), encoding="utf-8")
    with serving(create_app(settings.model_copy(update={"models_dir": tmp_path}))) as client:
        assert [model["name"] for model in client.get("/v1/models").json()["data"]] == ["ours"]
