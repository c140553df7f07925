"""Renews every lease of this process, and learns which are lost or no longer wanted."""

from __future__ import annotations

import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from jobs import leases
from jobs.database import Database
from worker.held import HeldLease, HeldLeases

log = structlog.get_logger(__name__)

BEATS_PER_LEASE = 3  # two may fail before the lease is in danger


class Heartbeat(threading.Thread):
    """One statement every third of a lease, for all leases together."""

    def __init__(self, database: Database, held: HeldLeases, *, lease_seconds: float) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._database = database
        self._held = held
        self._lease_seconds = lease_seconds
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(self._lease_seconds / BEATS_PER_LEASE):
            self.beat()

    def stop(self) -> None:
        self._stop_asked.set()

    def beat(self) -> None:
        """Renew now. A database that does not answer costs nothing yet: the next beat tries again."""
        asked = self._held.all()
        if not asked:
            return
        try:
            with self._database.transaction() as session:
                renewed = leases.renew(session, [held.lease for held in asked], lease_seconds=self._lease_seconds)
        except SQLAlchemyError as error:
            log.warning("heartbeat_failed", error=str(error))
            return
        for held in asked:
            _tell(held, renewed.get(held.lease))


def _tell(held: HeldLease, wanted: bool | None) -> None:
    facts = {"job_id": str(held.lease.job_id), "shard_no": held.lease.shard_no}
    if wanted is None and held.alive:
        log.warning("lease_lost", **facts)
        held.lose()
    elif wanted is False and held.wanted:
        log.info("lease_unwanted", **facts)
        held.wind_down()
