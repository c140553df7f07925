"""Renews every lease of this process, and learns in time which are lost or no longer wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import structlog

from jobs import leases
from jobs.database import Database
from jobs.leases import Lease
from worker.held import HeldLease, HeldLeases
from worker.vital import Vital

log = structlog.get_logger(__name__)

BEATS_PER_LEASE = 3  # two may fail before the lease is in danger
CONTROL_SECONDS = 1.0  # a job that was paused or cancelled stops within two of them


class Heartbeat(Vital):
    """One statement every third of a lease, for all leases together."""

    def __init__(
        self,
        database: Database,
        held: HeldLeases,
        *,
        lease_seconds: float,
        presence_key: Callable[[], int | None] = lambda: None,
    ) -> None:
        super().__init__("heartbeat", self._run)
        self._database = database
        self._held = held
        self._lease_seconds = lease_seconds
        self._presence_key = presence_key
        self._woken = threading.Event()
        self._stop_asked = threading.Event()

    def wake(self) -> None:
        """Beat now: what each beat says has changed."""
        self._woken.set()

    def stop(self) -> None:
        self._stop_asked.set()
        self._woken.set()

    def beat(self) -> None:
        """Renew now. A database that does not answer costs nothing yet: the next beat tries again."""
        asked = self._held.all()
        if not asked:
            return
        try:
            with self._database.transaction() as session:
                renewed = leases.renew(
                    session,
                    [held.lease for held in asked],
                    lease_seconds=self._lease_seconds,
                    presence_key=self._presence_key(),
                )
        except Exception as error:  # noqa: BLE001  # whatever the database does, the next beat tries again
            log.warning("heartbeat_failed", error=str(error))
            return
        _tell(self._held, asked, renewed)

    def _run(self) -> None:
        while not self._stop_asked.is_set():
            self._woken.wait(self._lease_seconds / BEATS_PER_LEASE)
            self._woken.clear()
            self.beat()


class Control(Vital):
    """Asks about once a second how the leases stand, so that what was paused or cancelled stops at once."""

    def __init__(self, database: Database, held: HeldLeases) -> None:
        super().__init__("control", self._run)
        self._database = database
        self._held = held
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        self._stop_asked.set()

    def look(self) -> None:
        """Ask now; a database that does not answer is asked again a second later."""
        asked = self._held.all()
        if not asked:
            return
        try:
            with self._database.reading() as session:
                standing = leases.standing(session, [held.lease for held in asked])
        except Exception as error:  # noqa: BLE001  # whatever the database does, the next look tries again
            log.warning("control_failed", error=str(error))
            return
        _tell(self._held, asked, standing)

    def _run(self) -> None:
        while not self._stop_asked.wait(CONTROL_SECONDS):
            self.look()


def _tell(leases_held: HeldLeases, asked: Sequence[HeldLease], standing: Mapping[Lease, bool]) -> None:
    still = {held.lease for held in leases_held.all()}  # what was settled while we asked is not lost
    for held in asked:
        if held.lease not in still:
            continue
        facts = {"job_id": str(held.lease.job_id), "shard_no": held.lease.shard_no}
        wanted = standing.get(held.lease)
        if wanted is None and held.alive:
            log.warning("lease_lost", **facts)
            held.lose()
        elif wanted is False and held.wanted:
            log.info("lease_unwanted", **facts)
            held.wind_down()
