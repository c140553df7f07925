"""Recipes: what was added later leaves the fingerprints of those that do not use it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from jobs.looks import ColourBackground, ProtectedColour, SegmentedMask, Step
from jobs.recipes import Recipe, canonical_json, fingerprint

PLAIN = Recipe(model="reinhard", style="warm", parameters={"strength": 0.5, "keep_white": True})


def test_a_recipe_without_later_members_is_written_and_identified_as_ever() -> None:
    written = canonical_json(PLAIN.model_dump(mode="json"))
    assert written == (
        '{"format":"jpeg","model":"reinhard","operation":"restyle",'
        '"parameters":{"keep_white":true,"strength":0.5},"quality":90,"style":"warm"}'
    )
    found = fingerprint(PLAIN, weights_sha256=None, style_sha256="s")
    assert found == "e8380ccda1dda302a99384be98fed01e5a3ae969e35326e3baeccd152fd357ea"


def test_later_members_are_written_read_back_and_part_of_the_fingerprint() -> None:
    changes = {
        "protected_colours": (ProtectedColour(colour="#C8102E"),),
        "background": ColourBackground(colour="#ffffff", shadow=0.5),
        "mask": "alpha",
    }
    full = PLAIN.model_copy(update=changes)
    assert Recipe.model_validate(full.model_dump(mode="json")) == full
    found = {
        fingerprint(PLAIN.model_copy(update={k: v}), weights_sha256=None, style_sha256="s") for k, v in changes.items()
    }
    assert len(found | {fingerprint(PLAIN, weights_sha256=None, style_sha256="s")}) == 4
    assert full.protected_colours[0].colour == "#c8102e"


def test_models_in_a_row_are_read_back_and_each_digest_counts() -> None:
    further = Step(model="reinhard", style="cold", parameters={"strength": 0.5}, on="background")
    full = PLAIN.model_copy(update={"on": "product", "then": (further,), "mask": SegmentedMask(model="ours")})
    assert Recipe.model_validate(full.model_dump(mode="json")) == full
    assert [(step.model, step.on) for step in full.steps] == [("reinhard", "product"), ("reinhard", "background")]
    assert full.needs_mask
    assert not PLAIN.needs_mask
    base: dict[str, Any] = {"weights_sha256": "w", "style_sha256": "s", "then_sha256": [("w", "t")], "mask_sha256": "m"}
    changes: list[dict[str, Any]] = [
        {},
        {"style_sha256": "x"},
        {"then_sha256": [("x", "t")]},
        {"then_sha256": [("w", "x")]},
        {"mask_sha256": "x"},
    ]
    found = {fingerprint(full, **base | change) for change in changes}
    others = {"then": (further.model_copy(update={"on": "all"}),), "on": None, "mask": "alpha"}
    found |= {fingerprint(full.model_copy(update={name: value}), **base) for name, value in others.items()}
    assert len(found) == len(changes) + len(others)


@pytest.mark.parametrize("colour", ["c8102e", "#c8102", "red", "#c8102e0"])
def test_what_is_no_colour_is_refused(colour: str) -> None:
    with pytest.raises(ValidationError):
        ProtectedColour(colour=colour)
