"""Distributions: counted one by one, in parts or in any order they are the same, and percentiles are near the true."""

from __future__ import annotations

import json
import random
import statistics

import pytest

from jobs.measures import BINS, MEASURES
from jobs.tallies import Tally, added, count_in, distributions


def tally_of(values: list[float], name: str = "structure") -> Tally:
    tally: Tally = {}
    for value in values:
        count_in(tally, [{name: value}])
    return tally


def test_percentiles_are_true_to_within_a_bin() -> None:
    chance = random.Random(4)
    values = [min(1.0, chance.gauss(0.9, 0.05)) for _ in range(4_000)]
    found = distributions(tally_of(values))["structure"]
    cuts = statistics.quantiles(values, n=20)
    width = MEASURES["structure"].bin_width
    assert (found.count, found.minimum, found.maximum) == (4_000, min(values), max(values))
    for known, read in ((cuts[0], found.p5), (cuts[9], found.p50), (cuts[18], found.p95)):
        assert read == pytest.approx(known, abs=width)
    assert sum(found.counts) == 4_000


def test_tallies_of_parts_add_up_to_that_of_all_also_as_json() -> None:
    values = [0.1, 0.62, 0.62, 0.93, 1.0]
    parts = [json.loads(json.dumps(tally_of(part))) for part in (values[:2], values[2:3], values[3:])]
    assert added(parts) == added(reversed(parts)) == tally_of(values)
    assert parts[0] == tally_of(values[:2]), "adding changes none of them"


@pytest.mark.parametrize("name", MEASURES)
def test_each_edge_begins_its_own_bin_and_what_lies_beyond_counts_to_the_outermost(name: str) -> None:
    measure = MEASURES[name]
    assert measure.counts_by_bin(measure.edges()[:-1]) == dict.fromkeys(range(BINS), 1)
    beyond = measure.shown_from - 5, measure.shown_to, measure.shown_to + 1e6
    assert measure.counts_by_bin(beyond) == {0: 1, BINS - 1: 2}


def test_items_counted_together_are_as_items_counted_one_by_one() -> None:
    items = [{"structure": 0.91, "ssim": 0.8}, {"structure": 0.97}, {"ssim": 0.2, "structure": 0.97}, {}]
    together: Tally = {}
    apart: Tally = {}
    count_in(together, items)
    for item in items:
        count_in(apart, [item])
    assert together == apart
    assert (together["structure"]["count"], together["ssim"]["count"]) == (3, 2)


def test_equal_figures_are_their_own_percentiles() -> None:
    found = distributions(tally_of([0.987654] * 30))["structure"]
    assert found.minimum == found.p5 == found.p50 == found.p95 == found.maximum == 0.987654


def test_what_another_version_measured_is_left_out() -> None:
    tally = tally_of([0.9]) | {"charm": {"count": 1, "minimum": 1, "maximum": 1, "bins": {"0": 1}}}
    assert set(distributions(tally)) == {"structure"}
