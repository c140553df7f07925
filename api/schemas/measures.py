"""Bodies of answers about what was measured of a job's pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field

from api.schemas.body import Body
from jobs.measures import MEASURES
from jobs.tallies import Distribution


class MeasureDistribution(Body):
    """How one measure is spread over the items that have it."""

    name: str = Field(description="As in `measures` of an item and in `gates` of a recipe.")
    meaning: str
    count: int = Field(description="Items that have it.")
    minimum: float
    p5: float = Field(description="5 % of the items lie below it; percentiles are true to within one bin.")
    p50: float
    p95: float
    maximum: float
    edges: list[float] = Field(description="Where each bin of the histogram begins, and where the last one ends.")
    counts: list[int] = Field(description="Items by bin; the outermost bins also have what lies beyond them.")

    @classmethod
    def of(cls, name: str, found: Distribution) -> Self:
        return cls(
            name=name,
            meaning=MEASURES[name].meaning,
            count=found.count,
            minimum=found.minimum,
            p5=found.p5,
            p50=found.p50,
            p95=found.p95,
            maximum=found.maximum,
            edges=list(found.edges),
            counts=list(found.counts),
        )


class MeasureDistributions(Body):
    """The measures that settled items of a job have."""

    data: list[MeasureDistribution]

    @classmethod
    def of(cls, found: Mapping[str, Distribution]) -> Self:
        return cls(data=[MeasureDistribution.of(name, each) for name, each in found.items()])
