"""Recipes: what was added later leaves the fingerprints of those that do not use it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from jobs.recipes import ColourBackground, ProtectedColour, Recipe, canonical_json, fingerprint

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


@pytest.mark.parametrize("colour", ["c8102e", "#c8102", "red", "#c8102e0"])
def test_what_is_no_colour_is_refused(colour: str) -> None:
    with pytest.raises(ValidationError):
        ProtectedColour(colour=colour)
