"""The leases that this process holds, as its threads see them."""

from __future__ import annotations

import threading

from jobs.claims import Claim
from jobs.leases import Lease


class HeldLease:
    """A claim and how it stands. Threads only read it, but for the two setters.

    `wanted`: new work may start for it. `alive`: what has been done may still be written and settled.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
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

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than the lease lives."""
        self._lost.wait(seconds)

    def lose(self) -> None:
        """Another worker has the shard, or may have it: drop everything."""
        self._lost.set()

    def wind_down(self) -> None:
        """Finish what the device has begun, settle it, and give the rest back."""
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
