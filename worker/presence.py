"""Holds this worker's presence, and looks out for workers that are gone, so that their work is rescued at once.

Only on Postgres; elsewhere, and wherever it is in doubt, leases end by time as ever.
"""

from __future__ import annotations

import random
import select
import threading
import time
import uuid
from collections.abc import Callable

import structlog
from sqlalchemy import Connection

from jobs import presence
from jobs.database import AWAY, Database
from jobs.doorbell import Bell
from jobs.presence import key_of
from worker.vital import Vital

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.3  # between two looks at a fleet of up to `LOOKERS`; a larger one shares them
LOOKERS = 4
CONFIRM_SECONDS = 0.5  # a worker is gone when it is missed twice, so far apart: it may be reconnecting
# A server that restarts, or loses one of its processes, drops everybody's lock. Whoever saw its own connection break
# gives the others this long to come back.
GRACE_SECONDS = 5.0
RECONNECT_SECONDS = 5.0  # longest pause between two tries


class PresenceInDoubt(Exception):
    """The lock says nothing about this process: there is something between it and the server."""


class Missed:
    """Which workers are missed, and since when. Pure: times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def note(self, absent: frozenset[int], now: float) -> frozenset[int]:
        """Take in a look. Return those that are gone: missed now, and long enough ago."""
        self._since = {key: self._since.get(key, now) for key in absent}
        return frozenset(key for key, since in self._since.items() if now - since >= CONFIRM_SECONDS)


class Presence(Vital):
    """One connection with one lock on it, for the life of the process."""

    def __init__(
        self,
        database: Database,
        worker_id: uuid.UUID,
        *,
        on_change: Callable[[], None],  # `key` has changed
        on_rescue: Callable[[Bell, str], None],  # of what and in which queue there is work to rescue
    ) -> None:
        super().__init__("presence", self._run)
        self._database = database
        self._key = key_of(worker_id)
        self._on_change = on_change
        self._on_rescue = on_rescue
        self._present = threading.Event()
        self._tried = threading.Event()
        self._stop_asked = threading.Event()

    @property
    def key(self) -> int | None:
        """What leases carry: None while nobody could see this process die."""
        return self._key if self._present.is_set() else None

    def wait_until_tried(self, timeout_seconds: float) -> None:
        """Wait for the first try, so that the first claim carries the key already."""
        self._tried.wait(timeout_seconds)

    def stop(self) -> None:
        self._stop_asked.set()

    def _run(self) -> None:
        if self._database.engine.dialect.name == "postgresql":
            self._stay()
        self._tried.set()

    def _stay(self) -> None:
        failures = 0
        while not self._stop_asked.is_set():
            try:
                with self._database.lone_connection() as connection:
                    self._begin(connection)
                    failures = 0
                    self._look_out(connection)
            except PresenceInDoubt as error:
                log.warning("presence_off", reason=str(error))
                self._leave()
                return
            except Exception as error:  # noqa: BLE001  # whatever the database does, the next connection tries again
                log.info("presence_lost", error=str(error))
                self._tried.set()
                failures += 1
            if failures > 1:  # the first reconnection comes at once, and nobody notices
                self._leave()
            longest = min(RECONNECT_SECONDS, 0.05 * 2 ** min(failures, 8))
            self._stop_asked.wait(longest * random.uniform(0.5, 1))

    def _begin(self, connection: Connection) -> None:
        presence.hold(connection, self._key)
        with self._database.reading() as session:
            if not presence.is_own(connection, session):
                raise PresenceInDoubt("connections are shared, as by a transaction pooler")
        if not self._present.is_set():
            self._present.set()
            self._tried.set()
            self._on_change()

    def _leave(self) -> None:
        if self._present.is_set():
            self._present.clear()
            self._on_change()

    def _look_out(self, connection: Connection) -> None:
        since, missed, pause = time.monotonic(), Missed(), LOOK_SECONDS
        while not self._stop_asked.is_set():
            _wait(connection, pause)
            seen = presence.look(connection, self._key)
            if not seen.held:
                raise PresenceInDoubt("the lock is gone though its connection is not")
            gone = missed.note(seen.absent, time.monotonic())
            if gone and time.monotonic() - since >= GRACE_SECONDS:
                self._rescue(gone)
            share = max(1.0, seen.present_count / LOOKERS) * random.uniform(0.75, 1.25)
            pause = CONFIRM_SECONDS if seen.absent else LOOK_SECONDS * share

    def _rescue(self, gone: frozenset[int]) -> None:
        expired: tuple[tuple[Bell, Callable[..., frozenset[str]]], ...] = (
            ("work", presence.expire_shard_leases),
            ("plan", presence.expire_job_leases),
        )
        for bell, expire in expired:
            try:
                with self._database.transaction() as session:
                    queues = expire(session, gone)
            except AWAY as error:
                log.warning("rescue_failed", error=str(error))
                continue
            for queue in queues:
                log.info("worker_gone", bell=bell, queue=queue, count=len(gone))
                self._on_rescue(bell, queue)


def _wait(connection: Connection, seconds: float) -> None:
    """Wait, but no longer than the connection lives: when the server closes it, it becomes readable."""
    driver = connection.connection.driver_connection
    assert driver is not None
    waiting = select.poll()
    waiting.register(driver.fileno(), select.POLLIN)
    waiting.poll(seconds * 1000)
