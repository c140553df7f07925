"""The leases that this process holds, as its threads see them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy.orm import Session

from jobs import leases
from jobs.claims import Claim
from jobs.leases import Lease
from jobs.retries import POSTPONING

ITEMS_IN_VAIN = 4  # so many of one shard that storage does not answer for: it is away, and not an object odd


class HeldLease:
    """A claim and how it stands. Safe to share between threads.

    `wanted`: new work may start for it. `alive`: what has been done may still be written and settled.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.give_back: Callable[[Session, Lease], None] = leases.release  # when not all of it was done
        self._lock = threading.Lock()
        self._begun: set[int] = set()
        self._items_in_vain = 0
        self._lost = threading.Event()
        self._unwanted = threading.Event()

    @property
    def lease(self) -> Lease:
        return self.claim.lease

    @property
    def alive(self) -> bool:
        return not self._lost.is_set()

    @property
    def wanted(self) -> bool:
        return self.alive and not self._unwanted.is_set()

    def begin(self, item_no: int) -> bool:
        """Let the device have an item. Return False when it must not: the lease is on its way back."""
        with self._lock:
            if self.wanted:
                self._begun.add(item_no)
            return self.wanted

    def begun(self) -> frozenset[int]:
        """Return the items that the device had or has; no more of them come once the lease is not wanted."""
        with self._lock:
            return frozenset(self._begun)

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than the lease lives."""
        self._lost.wait(seconds)

    def lose(self) -> None:
        """Another worker has the shard, or may have it: drop everything."""
        with self._lock:
            self._lost.set()

    def wind_down(self) -> None:
        """Finish what the device has begun, settle it, and give the rest back."""
        with self._lock:
            self._unwanted.set()

    def postpone(self) -> bool:
        """Leave an item that storage does not answer for to a later attempt. Return False when that has been done
        so often that it must fail now.
        """
        if self.claim.postponed_count >= POSTPONING.attempts - 1:
            return False
        with self._lock:
            if self.give_back is leases.release:
                self.give_back = leases.postpone
            self._items_in_vain += 1
            if self._items_in_vain >= ITEMS_IN_VAIN:
                self._unwanted.set()
        return True

    def suspect(self) -> None:
        """Give it back as a death would: its next attempt must run with nothing else in flight."""
        with self._lock:
            self.give_back = leases.expire
            self._unwanted.set()


class HeldLeases:
    """All leases of this process. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[Lease, HeldLease] = {}

    def add(self, held: HeldLease) -> None:
        with self._lock:
            self._leases[held.lease] = held

    def remove(self, held: HeldLease) -> None:
        with self._lock:
            self._leases.pop(held.lease, None)

    def all(self) -> list[HeldLease]:
        with self._lock:
            return list(self._leases.values())
