from __future__ import annotations

from jobs.pace import FORGET_SECONDS, LOWEST_PER_SECOND, SETTLING_SECONDS, Pace


def busy(pace: Pace, *, per_second: float, seconds: float, start: float = 0.0) -> float:
    """Call at a steady rate and return the moment of the last call."""
    calls = int(per_second * seconds)
    for number in range(calls):
        assert pace.turn(start + number / per_second) == 0
    return start + calls / per_second


def made_in(pace: Pace, seconds: float, now: float) -> int:
    """How many turns one thread after the other gets in so long."""
    count, until = 0, now + seconds
    while now < until:
        now += pace.turn(now)
        count += 1
    return count


def test_a_bucket_that_never_complains_is_called_as_fast_as_anybody_likes() -> None:
    pace = Pace()
    assert [pace.turn(1.0) for _ in range(1000)] == [0.0] * 1000
    assert pace.per_second is None


def test_a_bucket_that_asks_for_less_gets_half_and_evenly() -> None:
    pace = Pace()
    now = busy(pace, per_second=100, seconds=2)
    pace.slow_down(now)
    assert 40 < (pace.per_second or 0) < 60
    waits = [pace.turn(now) for _ in range(50)]
    assert waits == sorted(waits), "turns follow one another, whoever takes them"
    assert 0.5 < waits[-1] < 2
    assert len(set(waits)) == 50, "no two calls are made at the same moment"


def test_answers_that_were_under_way_halve_it_only_once() -> None:
    pace = Pace()
    now = busy(pace, per_second=100, seconds=2)
    for _ in range(16):
        pace.slow_down(now)
    assert (pace.per_second or 0) > 30
    before = pace.per_second or 0
    pace.slow_down(now + 3 * SETTLING_SECONDS)
    assert (pace.per_second or 0) == before / 2


def test_the_rate_never_falls_to_nothing() -> None:
    pace = Pace()
    for step in range(20):
        pace.slow_down(step * 2 * SETTLING_SECONDS)
    assert pace.per_second == LOWEST_PER_SECOND


def test_calls_that_go_well_bring_the_rate_back_and_a_quiet_minute_lifts_it() -> None:
    pace = Pace()
    pace.slow_down(now=0.0)
    assert made_in(pace, 10, now=0.0) < 25
    now = 10.0
    for _ in range(200):
        now += pace.turn(now)
        pace.went_well()
    assert now < 60, "from one call a second to dozens takes less than a minute"
    assert (pace.per_second or 0) > 30
    assert pace.turn(FORGET_SECONDS + 1.0) == 0
    assert pace.per_second is None
