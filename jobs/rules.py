"""Rules by which data of a product, such as its price band or its season, say what its picture shows, or its look."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from jobs.looks import ParameterValue
from jobs.plain import Plain


class Between(Plain):
    """A band of numbers."""

    minimum: float | None = Field(None, strict=True, allow_inf_nan=False, description="From it on, itself included.")
    below: float | None = Field(None, strict=True, allow_inf_nan=False, description="Up to it, itself not included.")

    def holds(self, value: object) -> bool:
        """Whether a column's value is a number of the band."""
        try:
            number = float(str(value))
        except ValueError:
            return False
        least = -math.inf if self.minimum is None else self.minimum
        end = math.inf if self.below is None else self.below
        return least <= number < end


class Rule(Plain):
    """What the pictures of some rows show, or the look that they get."""

    when: dict[str, str | Between] = Field(
        min_length=1,
        max_length=16,
        description="Columns of the manifest, each with its value or a band of numbers. All of them must hold.",
        examples=[{"audience": "kids", "price": {"minimum": 20, "below": 50}}],
    )
    attributes: dict[str, str] = Field(
        {},
        exclude_if=operator.not_,
        description="Of the operation generate: what those pictures show, in the model's words.",
    )
    style: str | None = Field(
        None,
        exclude_if=lambda style: style is None,
        description="Of the operation restyle: the name of the style that those pictures get.",
    )
    parameters: dict[str, ParameterValue] = Field(
        {},
        exclude_if=operator.not_,
        description="Of the operation restyle: knobs of the model that are set differently for those pictures.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.attributes and self.style is None and not self.parameters:
            raise ValueError("say what becomes of those rows: give attributes, a style or parameters")
        return self

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is of those."""
        return all(_fits(wanted, row.get(column)) for column, wanted in self.when.items())


def attributes_by(rules: Sequence[Rule], row: Mapping[str, Any]) -> dict[str, str]:
    """Return what the rules say of a row; of two that name one attribute, the first one counts."""
    found: dict[str, str] = {}
    for rule in rules:
        if rule.holds(row):
            found = {**rule.attributes, **found}
    return found


def first_rule(rules: Sequence[Rule], row: Mapping[str, Any]) -> int | None:
    """Return the number of the first rule that holds for a row, from 0; None where none does."""
    return next((number for number, rule in enumerate(rules) if rule.holds(row)), None)


def _fits(wanted: str | Between, value: object) -> bool:
    if isinstance(wanted, Between):
        return wanted.holds(value)
    return value is not None and str(value) == wanted
