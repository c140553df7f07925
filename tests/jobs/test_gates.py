"""Gates: what a recipe may ask for, and what breaks it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from jobs.errors import InvalidRequest
from jobs.gates import broken_gates, check_gates
from jobs.recipes import Gate, Recipe, canonical_json, fingerprint

BEFORE_GATES = (
    "1afacdde536f7eb918edff11b0247bb161abebbaa9f96f8c42b3dc294239b459"  # of this recipe, before there were any
)


def recipe(**gates: Any) -> Recipe:
    return Recipe.model_validate({"model": "reinhard", "style": "warm", "gates": gates})


def test_a_figure_breaks_a_gate_on_either_side_and_not_on_its_bound() -> None:
    gates = recipe(structure={"minimum": 0.9}, colour_shift={"minimum": 1, "maximum": 3}).gates
    assert broken_gates(gates, {"structure": 0.9, "colour_shift": 3}) == []
    assert broken_gates(gates, {"structure": 0.89999, "colour_shift": 3.5}) == [
        "colour_shift is 3.5, above the maximum of 3",
        "structure is 0.89999, below the minimum of 0.9",
    ]
    assert broken_gates(gates, {"structure": 0.95, "colour_shift": 0.5}) == [
        "colour_shift is 0.5, below the minimum of 1"
    ]


def test_a_gate_on_what_could_not_be_measured_is_not_broken() -> None:
    assert broken_gates(recipe(silhouette_iou={"minimum": 0.99}).gates, {"structure": 0.1}) == []


@pytest.mark.parametrize(
    ("name", "gate", "remedy"),
    [
        ("structur", {"minimum": 0.9}, "use one of psnr_db, ssim, structure"),
        ("structure", {}, "give a minimum, a maximum or both"),
        ("structure", {"minimum": 1.5}, "from -1 to 1"),
        ("colour_shift", {"maximum": -1}, "of at least 0"),
        ("psnr_db", {"minimum": 30, "maximum": 20}, "not above the maximum"),
    ],
)
def test_a_gate_that_judges_nothing_is_refused_with_its_remedy(name: str, gate: dict[str, float], remedy: str) -> None:
    with pytest.raises(InvalidRequest, match=remedy) as refused:
        check_gates(recipe(**{name: gate}))
    [problem] = refused.value.problems
    assert (problem.field, problem.value, refused.value.code) == (f"recipe.gates.{name}", gate, "gate_refused")


def test_a_gate_on_the_style_needs_a_style() -> None:
    gates = {"style_distance": Gate(maximum=20)}
    check_gates(Recipe(model="reinhard", style="warm", gates=gates))
    with pytest.raises(InvalidRequest, match="without a style"):
        check_gates(Recipe(model="unchanged", gates=gates))


@pytest.mark.parametrize("bound", ["0.9", True, float("nan"), None], ids=str)
def test_a_bound_is_a_number(bound: object) -> None:
    if bound is None:
        assert Gate(minimum=bound).minimum is None
        return
    with pytest.raises(ValidationError):
        Gate.model_validate({"minimum": bound})


def test_a_recipe_without_gates_is_what_it_was_and_gates_change_no_pixels() -> None:
    bare, gated = recipe(), recipe(structure={"minimum": 0.9})
    assert "gates" not in canonical_json(bare.model_dump(mode="json"))
    assert gated.model_dump(mode="json")["gates"] == {"structure": {"minimum": 0.9, "maximum": None}}
    assert Recipe.model_validate(gated.model_dump(mode="json")) == gated
    digests = {fingerprint(each, weights_sha256=None, style_sha256="s") for each in (bare, gated)}
    assert digests == {BEFORE_GATES}
