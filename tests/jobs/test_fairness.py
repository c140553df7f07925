"""Weighted fairness, as a rule: what it promises for every history."""

from __future__ import annotations

import dataclasses
import datetime
import itertools

from hypothesis import given
from hypothesis import strategies as st

from jobs.fairness import Share, turns

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Fleet:
    """Serves tenants as claims do."""

    def __init__(self, weights: dict[str, float]) -> None:
        self.shares = {name: Share(tenant_id=name, weight=weight) for name, weight in weights.items()}
        self._moment = START

    def serve(self, *rivals: str, items: int = 1) -> str:
        """Give the next shard to one of those that have work; return whom."""
        turn = turns(self.shares[name] for name in rivals)[0]
        if len(rivals) == 1:
            return turn.tenant_id
        self._moment += datetime.timedelta(seconds=1)
        share = self.shares[turn.tenant_id]
        self.shares[turn.tenant_id] = dataclasses.replace(
            share, started=turn.starts, finished=turn.starts + items / share.weight, served_at=self._moment
        )
        return turn.tenant_id


WEIGHTS = st.dictionaries(st.sampled_from("abcde"), st.floats(0.1, 10), min_size=2)
HISTORY = st.lists(st.tuples(st.sets(st.sampled_from("abcde"), min_size=1), st.integers(1, 128)), max_size=60)


@given(weights=WEIGHTS, shards=st.lists(st.integers(1, 128), min_size=50, max_size=300), history=HISTORY)
def test_items_are_as_the_weights_to_within_a_shard_each(
    weights: dict[str, float], shards: list[int], history: list[tuple[set[str], int]]
) -> None:
    fleet = Fleet(dict.fromkeys("abcde", 1.0) | weights)
    for rivals, items in history:  # whatever was before counts for one shard, as a debt
        fleet.serve(*sorted(rivals), items=items)
    given_items = dict.fromkeys(weights, 0)
    for items in shards:
        given_items[fleet.serve(*weights, items=items)] += items
    largest = max([*shards, *(items for _, items in history)])
    for one, other in itertools.permutations(weights, 2):
        difference = given_items[one] / weights[one] - given_items[other] / weights[other]
        assert difference <= largest / weights[one] + largest / weights[other] + 1e-6


@given(history=HISTORY, alone=st.integers(0, 50), shards=st.integers(1, 20))
def test_a_newcomer_ends_within_twice_its_time_alone(
    history: list[tuple[set[str], int]], alone: int, shards: int
) -> None:
    fleet = Fleet(dict.fromkeys(["new", *"abcde"], 1.0))
    for rivals, items in history:
        fleet.serve(*sorted(rivals), items=items)
    for _ in range(alone):
        fleet.serve("a")
    served = [fleet.serve("a", "new", items=128) for _ in range(2 * shards)]
    assert served.count("new") == shards


@given(away=st.integers(1, 1_000))
def test_being_away_earns_no_credit(away: int) -> None:
    fleet = Fleet({"a": 1, "b": 1, "back": 1})
    for _ in range(6):
        fleet.serve("a", "b", "back")
    for _ in range(away):
        fleet.serve("a", "b")
    served = [fleet.serve("a", "b", "back") for _ in range(30)]
    assert 10 <= served.count("back") <= 11


def test_the_one_that_waited_longest_is_next_among_equals() -> None:
    earlier, later = START, START + datetime.timedelta(seconds=5)
    shares = [
        Share(tenant_id="a", served_at=later),
        Share(tenant_id="b", served_at=earlier),
        Share(tenant_id="c"),
    ]
    assert [turn.tenant_id for turn in turns(shares)] == ["c", "b", "a"]
