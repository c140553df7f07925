"""Models over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


def test_models_are_listed_with_their_whole_cards(api: httpx.Client) -> None:
    models = api.get("/v1/models").json()["data"]
    assert [model["name"] for model in models] == ["identity", "reinhard", "still"]
    assert models[1]["needs_style"] is True
    assert models[1]["parameters"]["strength"]["maximum"] == 1
    assert api.get("/v1/models/reinhard").json() == models[1]


def test_an_unknown_model_is_not_found(api: httpx.Client) -> None:
    answer = api.get("/v1/models/nope")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
