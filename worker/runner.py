"""Claims shards and feeds them to the stream."""

from __future__ import annotations

import uuid

import structlog

from jobs import claims, leases, moves
from jobs.claims import Claim
from jobs.database import Database
from jobs.errors import JobsError, LeaseLost
from worker.held import HeldLease, HeldLeases
from worker.model_cache import ModelCache, Prepared
from worker.settler import Settler
from worker.stream import Stream

log = structlog.get_logger(__name__)


class Runner:
    """Keeps the stream full while there is work. Feeding blocks, so a claim is made only when there is room."""

    def __init__(
        self,
        database: Database,
        held: HeldLeases,
        models: ModelCache,
        stream: Stream,
        settler: Settler,
        *,
        worker_id: uuid.UUID,
        queue: str,
        lease_seconds: float,
    ) -> None:
        self._database = database
        self._held = held
        self._models = models
        self._stream = stream
        self._settler = settler
        self._worker_id = worker_id
        self._queue = queue
        self._lease_seconds = lease_seconds
        self._stopping = False

    def step(self) -> bool:
        """Claim one shard and feed it. Return whether there was one."""
        if self._stopping:
            return False
        with self._database.transaction() as session:
            claim = claims.claim(
                session, worker_id=self._worker_id, queue=self._queue, lease_seconds=self._lease_seconds
            )
        if claim is None:
            return False
        held = HeldLease(claim)
        self._held.add(held)
        log.info(
            "shard_claimed",
            job_id=str(claim.lease.job_id),
            shard_no=claim.lease.shard_no,
            attempt=claim.lease.attempt,
            items=len(claim.items),
        )
        if self._stopping:
            held.wind_down()
        prepared = self._prepare(held)
        if prepared is None:
            return False
        if claim.suspect:  # it may kill this process: nobody else's shard should die with it
            self._settler.wait_until_idle()
        self._stream.feed(held, prepared)
        if claim.suspect:
            self._settler.wait_until_idle()
        return True

    def wind_down(self) -> None:
        """Claim nothing more, and give back what the device has not begun."""
        self._stopping = True
        for held in self._held.all():
            held.wind_down()

    def _prepare(self, held: HeldLease) -> Prepared | None:
        """Load the model and encode the style; where that cannot be done, give the shard back."""
        claim = held.claim
        try:
            return self._models.prepare(claim)
        except JobsError as error:
            log.error("prepare_failed", job_id=str(claim.lease.job_id), error=str(error))
            self._give_back(claim, None if error.retryable else error)
        except Exception:
            self._give_back(claim, None)
            self._held.remove(held)
            raise
        self._held.remove(held)
        return None

    def _give_back(self, claim: Claim, fault: JobsError | None) -> None:
        """Release a shard that cannot run here; end its job where it can run nowhere."""
        try:
            with self._database.transaction() as session:
                leases.release(session, claim.lease)
                if fault is not None:
                    message = f"the recipe cannot run: {fault}"
                    moves.fail(session, claim.lease.job_id, code=f"recipe_{fault.code}", message=message)
        except LeaseLost:
            log.warning("lease_lost", job_id=str(claim.lease.job_id), shard_no=claim.lease.shard_no)
