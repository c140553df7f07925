"""A recipe's gates: bounds on what is measured of each picture. What breaks one is `rejected`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jobs.errors import InvalidRequest, Problem
from jobs.measures import ENDLESS, MEASURES, Measures
from jobs.recipes import Gate, Recipe


def check_gates(recipe: Recipe) -> None:
    """Refuse gates that no picture could be judged by.

    Raises:
        InvalidRequest: names each measure that there is not, and each bound that means nothing.

    """
    problems = [
        Problem(field=f"recipe.gates.{name}", value=gate.model_dump(exclude_none=True), remedy=remedy)
        for name, gate in recipe.gates.items()
        if (remedy := _remedy(name, gate, recipe)) is not None
    ]
    if problems:
        raise InvalidRequest(*problems, code="gate_refused")


def broken_gates(gates: Mapping[str, Gate], measures: Measures) -> list[str]:
    """Say of each gate that a picture breaks what was measured and what was asked for.

    A gate on something that could not be measured of this picture is not broken.
    """
    return [
        f"{name} is {measures[name]:g}, {fault}"
        for name, gate in sorted(gates.items())
        if name in measures and (fault := _fault(gate, measures[name])) is not None
    ]


def _fault(gate: Gate, value: float) -> str | None:
    if gate.minimum is not None and value < gate.minimum:
        return f"below the minimum of {gate.minimum:g}"
    if gate.maximum is not None and value > gate.maximum:
        return f"above the maximum of {gate.maximum:g}"
    return None


def _remedy(name: str, gate: Gate, recipe: Recipe) -> str | None:
    measure = MEASURES.get(name)
    if measure is None:
        return f"there is no such measure: use one of {', '.join(MEASURES)}"
    if measure.needs_style and recipe.style is None:
        return "leave it out: without a style there is nothing to measure"
    bounds = list(_bounds(gate))
    if not bounds:
        return "give a minimum, a maximum or both"
    if any(not measure.least <= bound <= measure.most for bound in bounds):
        span = f"of at least {measure.least:g}"
        return f"give bounds {span if measure.most == ENDLESS else f'from {measure.least:g} to {measure.most:g}'}"
    if bounds != sorted(bounds):
        return "give a minimum that is not above the maximum"
    return None


def _bounds(gate: Gate) -> Iterator[float]:
    return (bound for bound in (gate.minimum, gate.maximum) if bound is not None)
