"""Whether this process can do its work: the database, its schema, storage, and (told, not required) the broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from api.schemas.service import Check, ReadinessReport
from api.settings import ApiSettings
from jobs.database import Database
from jobs.doorbell import Doorbell
from jobs.errors import ObjectMissing
from jobs.locations import Location
from jobs.storage import Storages
from migrations import config

CHECK_SECONDS = 2.0
NOT_REQUIRED = frozenset({"broker"})  # without it doorbells are silent, and work is found a little later


class Readiness:
    """Runs the checks side by side, each for a bounded time. Safe to share between threads."""

    def __init__(self, settings: ApiSettings, database: Database, storages: Storages, doorbell: Doorbell) -> None:
        self._settings = settings
        self._database = database
        self._storages = storages
        self._checks: dict[str, Callable[[], None]] = {
            "database": self._database_answers,
            "schema": self._schema_is_recent,
            "storage": self._storage_answers,
            "broker": doorbell.check,
        }
        self._pool = ThreadPoolExecutor(max_workers=len(self._checks), thread_name_prefix="readiness")
        self._running: dict[str, Future[None]] = {}
        self._lock = threading.Lock()

    def report(self) -> ReadinessReport:
        """Check everything, within about `CHECK_SECONDS`."""
        start = time.monotonic()
        futures = {name: self._start(name, check) for name, check in self._checks.items()}
        checks = {name: _result(name, future, start) for name, future in futures.items()}
        return ReadinessReport(ready=all(check.ok or not check.required for check in checks.values()), checks=checks)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, name: str, check: Callable[[], None]) -> Future[None]:
        """Start a check, or join the one that still hangs: probes must not pile up threads."""
        with self._lock:
            running = self._running.get(name)
            if running is None or running.done():
                running = self._running[name] = self._pool.submit(check)
            return running

    def _database_answers(self) -> None:
        with self._database.reading() as session:
            session.execute(text("SELECT 1"))

    def _schema_is_recent(self) -> None:
        """Refuse a schema that is older than this code. A newer one must work with it: see docs/deploy.md."""
        with self._database.reading() as session:
            found = MigrationContext.configure(session.connection()).get_current_revision()
        script = ScriptDirectory.from_config(config())
        older = {revision.revision for revision in script.walk_revisions()} - set(script.get_heads())
        if found is None or found in older:
            raise RuntimeError(f"the schema is at {found or 'nothing'}: run python -m migrations")

    def _storage_answers(self) -> None:
        own = Location.parse(self._settings.storage_url, field="storage_url").as_prefix()
        try:
            next(iter(self._storages.at(own).list(own.key)), None)
        except ObjectMissing:  # a folder that nothing was stored in yet
            return


def _result(name: str, future: Future[None], start: float) -> Check:
    try:
        error = future.exception(timeout=max(0.0, start + CHECK_SECONDS - time.monotonic()))
        said = None if error is None else f"{type(error).__name__}: {error}".splitlines()[0]
    except NotDone:
        said = f"no answer within {CHECK_SECONDS:g} seconds"
    seconds = round(time.monotonic() - start, 4)
    return Check(ok=said is None, required=name not in NOT_REQUIRED, seconds=seconds, error=said)
