"""When a process that died is started again."""

from __future__ import annotations

import math

from restyle.restarts import CRASHES, Restarts


def deaths(restarts: Restarts, count: int, *, seconds: float = 0.0, ready: bool = False) -> list[float | None]:
    """Let a process die so often, each time so long after its start. Return the pauses."""
    now, pauses = 0.0, []
    for _ in range(count):
        restarts.started(now=now)
        if ready:
            restarts.ready()
        now += seconds
        pauses.append(restarts.died(now=now))
    return pauses


def test_a_process_that_keeps_dying_is_given_up_after_growing_pauses() -> None:
    pauses = deaths(Restarts(now=0.0, healthy_seconds=10), CRASHES)
    assert pauses.pop() is None
    assert all(
        pause and 0.75 * longest <= pause <= longest for pause, longest in zip(pauses, (1, 2, 4, 8), strict=True)
    )


def test_processes_that_die_together_do_not_come_back_together() -> None:
    assert len({Restarts(now=0.0, healthy_seconds=10).died(now=0.0) for _ in range(10)}) > 1


def test_a_process_that_ran_well_for_a_while_starts_its_row_of_crashes_anew() -> None:
    restarts = Restarts(now=0.0, healthy_seconds=10)
    assert all(pause and pause <= 1 for pause in deaths(restarts, 100, seconds=100))


def test_a_process_that_was_ready_starts_its_row_of_crashes_anew_and_time_alone_need_not() -> None:
    restarts = Restarts(now=0.0, healthy_seconds=math.inf)
    assert all(pause and pause <= 1 for pause in deaths(restarts, 100, ready=True))
    assert deaths(restarts, CRASHES, seconds=1000).pop() is None


def test_a_rest_is_as_long_as_it_is_asked_to_be() -> None:
    restarts = Restarts(now=0.0, healthy_seconds=10)
    pause = restarts.rest(60, now=5.0)
    assert 45 <= pause <= 60
    assert restarts.start_again_at == 5.0 + pause
    restarts.started(now=70.0)
    assert restarts.start_again_at is None
