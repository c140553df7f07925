"""Requests to train a network, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobs.recipes import Recipe, fingerprint

if TYPE_CHECKING:
    import httpx

TRAINING = {"licence": "CC0-1.0", "iterations": 100}


def asked(job_request: dict[str, Any], **recipe: Any) -> dict[str, Any]:
    return job_request | {"recipe": {"operation": "train", "model": "ours", "training": TRAINING} | recipe}


def test_training_is_enqueued_like_any_job(api: httpx.Client, job_request: dict[str, Any]) -> None:
    answer = api.post("/v1/jobs", json=asked(job_request))
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["operation"] == "train"
    assert job["recipe"]["training"]["iterations"] == 100
    assert job["recipe"]["training"]["batch"] == 24  # complete: defaults filled in


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        ({"training": None}, "recipe.training"),
        ({"training": {"licence": "x"}}, "recipe.training"),
        ({"training": TRAINING | {"iterations": 0}}, "recipe.training.iterations"),
        ({"training": TRAINING | {"objective": "dream"}}, "recipe.training.objective"),
        ({"training": TRAINING | {"objective": "painter"}}, "recipe.training.objective"),
        ({"training": TRAINING | {"start_from": "/etc"}}, "recipe.training.start_from"),
        ({"model": "Not A Name"}, "recipe.model"),
        ({"style": "dusk"}, "recipe.style"),
        ({"parameters": {"strength": 1}}, "recipe.parameters"),
        ({"operation": "restyle", "model": "identity"}, "recipe.training"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    api: httpx.Client, job_request: dict[str, Any], recipe: dict[str, Any], field: str
) -> None:
    answer = api.post("/v1/jobs", json=asked(job_request, **recipe))
    assert answer.status_code == 422, answer.text
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


def test_a_manifest_is_no_folder_of_photos(api: httpx.Client, job_request: dict[str, Any]) -> None:
    source = {"type": "manifest", "url": job_request["source"]["url"].replace("catalogue/", "spring.csv")}
    answer = api.post("/v1/jobs", json=asked(job_request) | {"source": source})
    assert (answer.status_code, answer.json()["code"]) == (422, "source_not_for_training")


def test_recipes_that_train_nothing_are_what_they_were() -> None:
    recipe = Recipe(model="reference-grade", style="dusk")
    assert "training" not in recipe.model_dump(mode="json")
    assert fingerprint(recipe, weights_sha256="a", style_sha256="b") == (
        "5faee526e996a19af4db37ebc83926f6cbff66e5d64a8f05e5544b7facb09407"
    )
