"""Distributions of measures: counted while items settle, added up over shards, read as percentiles. Pure.

A tally is plain data, as a shard keeps it: by measure, how many values there are, the lowest, the highest, and how
many lie in each bin of the measure's histogram, those without any left out. Tallies of different items can be added.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.measures import BINS, MEASURES, Measure, Measures

Tally = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """How one measure is spread over items. Percentiles are read from the histogram: true to within one bin."""

    count: int
    minimum: float
    p5: float
    p50: float
    p95: float
    maximum: float
    edges: Sequence[float]  # where each bin begins, and where the last one ends
    counts: Sequence[int]  # by bin; the outermost also have what lies beyond them


def count_in(tally: Tally, items: Sequence[Measures]) -> None:
    """Put the figures of more items into a tally. What this version does not know is left out."""
    for name, measure in MEASURES.items():
        values = [measures[name] for measures in items if name in measures]
        if values:
            _add(tally, name, _counted(measure, values))


def added(tallies: Iterable[Tally]) -> Tally:
    """Add tallies of different items up."""
    sums: Tally = {}
    for tally in tallies:
        for name, part in tally.items():
            _add(sums, name, part)
    return sums


def distributions(tally: Tally) -> dict[str, Distribution]:
    """Read a tally, measures in the order of `MEASURES`. What this version does not know is left out."""
    return {name: _distribution(measure, tally[name]) for name, measure in MEASURES.items() if name in tally}


def _counted(measure: Measure, values: Sequence[float]) -> dict[str, Any]:
    # Keys of JSON objects are text.
    return {
        "count": len(values),
        "minimum": min(values),
        "maximum": max(values),
        "bins": {str(number): count for number, count in measure.counts_by_bin(values).items()},
    }


def _add(tally: Tally, name: str, part: Mapping[str, Any]) -> None:
    total = tally.get(name)
    if total is None:
        tally[name] = dict(part) | {"bins": dict(part["bins"])}
        return
    total["count"] += part["count"]
    total["minimum"] = min(total["minimum"], part["minimum"])
    total["maximum"] = max(total["maximum"], part["maximum"])
    bins = total["bins"]
    for number, count in part["bins"].items():
        bins[number] = bins.get(number, 0) + count


def _distribution(measure: Measure, part: Mapping[str, Any]) -> Distribution:
    counts = [part["bins"].get(str(number), 0) for number in range(BINS)]
    low, high = part["minimum"], part["maximum"]

    def percentile(share: float) -> float:
        found = _quantile(measure.edges(), counts, share)
        return float(round(min(max(found, low), high), 6))

    return Distribution(
        count=part["count"],
        minimum=low,
        p5=percentile(0.05),
        p50=percentile(0.5),
        p95=percentile(0.95),
        maximum=high,
        edges=measure.edges(),
        counts=counts,
    )


def _quantile(edges: Sequence[float], counts: Sequence[int], share: float) -> float:
    """Return the value below which a share of the counted ones lies, spread evenly inside each bin."""
    wanted, below = share * sum(counts), 0
    for (start, end), count in zip(itertools.pairwise(edges), counts, strict=True):
        if count and below + count >= wanted:
            return start + (end - start) * (wanted - below) / count
        below += count
    return edges[-1]
