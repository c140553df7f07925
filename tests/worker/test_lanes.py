from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.lanes import Lanes


def lanes(threads: int, **options: object) -> Lanes[str]:
    """Members are named by their lane's letter and a number."""
    return Lanes(threads, lambda member: member[0], lock=threading.Lock(), **options)  # type: ignore[arg-type]


def filled(queue: Lanes[str], *members: str) -> Lanes[str]:
    for member in members:
        queue.put(member)
    return queue


def take_all(queue: Lanes[str]) -> list[str]:
    """What threads could take at once, each of them keeping what it took."""
    taken = []
    while queue._next() is not None:
        taken.append(queue.get())
    return taken


def test_lanes_take_turns_and_each_keeps_its_order() -> None:
    waiting = filled(lanes(20), "a1", "a2", "a3", "b1", "c1", "c2")
    assert take_all(waiting) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_one_lane_gets_half_of_the_threads_and_leaves_some_for_who_comes_next() -> None:
    waiting = filled(lanes(16), *(f"a{number}" for number in range(40)))
    assert len(take_all(waiting)) == 8
    filled(waiting, *(f"b{number}" for number in range(40)))
    assert [member[0] for member in take_all(waiting)] == ["b"] * 4
    filled(waiting, *(f"c{number}" for number in range(40)))
    assert [member[0] for member in take_all(waiting)] == ["c"] * 2


def test_a_lane_that_moves_goes_on_beside_one_that_does_not() -> None:
    waiting = filled(lanes(4), *(f"a{number}" for number in range(10)))
    stuck = take_all(waiting)
    assert len(stuck) == 2
    for number in range(100):
        waiting.put(f"b{number}")
        member = waiting.get()
        assert member == f"b{number}"
        waiting.done(member)
    waiting.done(stuck[0])
    assert waiting.get()[0] == "a"


def test_a_full_lane_blocks_its_own_alone() -> None:
    waiting = filled(lanes(2, waiting=2), "a1", "a2")
    with pytest.raises(queue.Full):
        waiting.put("a3", timeout=0.01)
    waiting.put("b1", timeout=0.01)
    assert take_all(waiting) == ["a1", "b1"]
    waiting.put("a3", timeout=0.01)


def test_a_lane_is_held_up_when_threads_are_free_and_it_may_have_none() -> None:
    waiting = filled(lanes(4), "a1", "a2", "a3")
    assert not waiting.held_up("a9"), "nobody has asked yet"
    taken = take_all(waiting)
    assert waiting.held_up("a9")
    assert not waiting.held_up("b1"), "nobody waits there"
    waiting.done(taken[0])
    assert not waiting.held_up("a9")


def test_what_may_not_go_on_is_not_taken_and_is_as_soon_as_it_may() -> None:
    lock = threading.Lock()
    behind: Lanes[str] = Lanes(2, lambda member: member[0], lock=lock, taken=lambda: before.look())
    before: Lanes[str] = Lanes(
        2, lambda member: member[0], lock=lock, may_go=lambda member: not behind.crowded(member, 0)
    )
    behind.put("a0")
    filled(before, "a1", "b1")
    assert before.get() == "b1"
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(before.get)
        assert not taken.done()
        assert behind.get() == "a0"
        assert taken.result(timeout=30) == "a1"


def test_what_is_in_vain_passes_beside_a_lane_that_does_not_move() -> None:
    gone = set()
    waiting = filled(lanes(4, in_vain=lambda member: member in gone), "a1", "a2", "a3", "a4")
    assert len(take_all(waiting)) == 2
    gone.add("a3")
    assert take_all(waiting) == ["a3"]


def test_many_threads_take_each_member_once() -> None:
    waiting = lanes(8, waiting=3)
    members = [f"{letter}{number}" for number in range(200) for letter in "abc"]

    def work(_: int) -> list[str]:
        taken = []
        while (member := waiting.get()) != "z":
            waiting.done(member)
            taken.append(member)
        waiting.done(member)
        return taken

    with ThreadPoolExecutor(8) as pool:
        workers = [pool.submit(work, number) for number in range(8)]
        for member in members:
            waiting.put(member)
        for _ in workers:
            waiting.put("z")
        taken = [member for worker in workers for member in worker.result(timeout=60)]
    assert sorted(taken) == sorted(members)
