"""The queues before storage, in which no bucket keeps the others waiting. It knows no storage."""

from __future__ import annotations

import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.5


class Lanes(Generic[T]):
    """Members wait in a lane each for their bucket, and a stage's threads take them from all lanes in turn.

    A lane is given one more thread only while more are free than it has. So the first that crawls may come to hold
    half of them, a second one a quarter, and some are free for whoever comes next.
    """

    def __init__(
        self,
        threads: int,
        lane_of: Callable[[T], Hashable],
        *,
        lock: threading.Lock,
        waiting: int | None = None,
        may_go: Callable[[T], bool] = lambda _member: True,
        in_vain: Callable[[T], bool] = lambda _member: False,
        taken: Callable[[], None] = lambda: None,
    ) -> None:
        """Make an empty queue.

        Args:
            threads: how many take from it.
            lane_of: names a member's lane.
            lock: shared by the queues whose `may_go` look at one another.
            waiting: most that wait in one lane; None where what is put is bounded otherwise.
            may_go: whether a member may be taken now, besides the share of its lane.
            taken: called, with the lock held, whenever a member was taken.
            in_vain: whether nothing is left to be done for a member: then any free thread may take it.

        """
        self._lane_of = lane_of
        self._room = threading.Condition(lock)  # for who puts
        self._work = threading.Condition(lock)  # for who takes
        self._on_taken = taken
        self._most_waiting = waiting
        self._may_go = may_go
        self._in_vain = in_vain
        self._free = threads
        self._taken: Counter[Hashable] = Counter()
        self._lanes: dict[Hashable, deque[T]] = {}  # those in which somebody waits, next turn first

    def put(self, member: T, timeout: float | None = None) -> None:
        """Let a member wait for its turn. Blocks while its lane is full; raises queue.Full after `timeout` seconds."""
        lane = self._lane_of(member)
        with self._room:
            if not self._room.wait_for(lambda: not self._full(lane), timeout):
                raise queue.Full
            self._lanes.setdefault(lane, deque()).append(member)
            self._work.notify()

    def get(self) -> T:
        """Take the next member whose turn it is; who takes one says when it is `done`."""
        with self._work:
            while not self._work.wait_for(lambda: self._next() is not None, LOOK_SECONDS):
                pass  # what `may_go` and `in_vain` say may change without a word
            lane = self._next()
            waiting = self._lanes.pop(lane)
            member = waiting.popleft()
            if waiting:
                self._lanes[lane] = waiting  # behind the others
            self._taken[lane] += 1
            self._free -= 1
            self._room.notify_all()
            self._on_taken()
            return member

    def done(self, member: T) -> None:
        """Give back the thread that took a member. Nobody is woken: that thread is the one to take the next."""
        lane = self._lane_of(member)
        with self._work:
            self._taken[lane] -= 1
            if not self._taken[lane]:
                del self._taken[lane]
            self._free += 1

    def look(self) -> None:
        """Let one thread see whether it may take something now. The caller holds the lock."""
        self._work.notify()

    def crowded(self, member: T, most: int) -> bool:
        """Whether more than `most` wait in the lane of a member. The caller holds the lock."""
        return len(self._lanes.get(self._lane_of(member), ())) > most

    def held_up(self, member: T) -> bool:
        """Whether threads are free, and still none may take what waits in the lane of a member."""
        with self._work:
            lane = self._lane_of(member)
            return lane in self._lanes and self._free > 0 and not self._may_take(lane)

    def _full(self, lane: Hashable) -> bool:
        return self._most_waiting is not None and len(self._lanes.get(lane, ())) >= self._most_waiting

    def _next(self) -> Hashable | None:
        return next((lane for lane in self._lanes if self._may_take(lane)), None)

    def _may_take(self, lane: Hashable) -> bool:
        member = self._lanes[lane][0]
        if self._in_vain(member):
            return self._free > 0
        return self._taken[lane] < self._free and self._may_go(member)
