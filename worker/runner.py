"""Claims shards and feeds them to the stream, in two threads: a claim waits for the database while work goes on."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Sequence
from queue import Queue, SimpleQueue

import structlog

from jobs import claims, leases, moves
from jobs.database import Database
from jobs.errors import JobsError, LeaseLost
from jobs.leases import ItemResult
from jobs.states import ItemState
from worker.held import HeldLease, HeldLeases
from worker.model_cache import ModelCache
from worker.prepared import Prepared
from worker.settler import Settler
from worker.stream import Stream
from worker.vital import Vital
from worker.watch import PREPARE_SECONDS, Watch
from worker.work import MESSAGE_CHARACTERS

log = structlog.get_logger(__name__)


CLAIM_SECONDS = 0.5  # of work that a claim should bring, where one shard is less
SHARDS_AT_MOST = 16


def shards_at_most(claimed: int, seconds: float, claim_seconds: float) -> int:
    """Return how many shards to claim at once, when some took so long to feed, and so long to claim.

    One, as soon as the device takes long enough for it: what lies here could run elsewhere.
    """
    enough = max(CLAIM_SECONDS, 2 * claim_seconds)
    if seconds < enough / 2:
        return min(2 * claimed, SHARDS_AT_MOST)
    return max(claimed if seconds < enough else claimed // 2, 1)


class Runner:
    """Keeps the stream full while there is work.

    Feeding blocks while the stream is full. The next claim is made just early enough to be there when what was
    claimed before has been fed: earlier, and shards would lie here that could run elsewhere.
    """

    def __init__(
        self,
        database: Database,
        held: HeldLeases,
        models: ModelCache,
        stream: Stream,
        settler: Settler,
        watch: Watch,
        train: Callable[[HeldLease], None],
        *,
        worker_id: uuid.UUID,
        queue: str,
        lease_seconds: float,
        presence_key: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._database = database
        self._held = held
        self._models = models
        self._stream = stream
        self._settler = settler
        self._watch = watch
        self._train = train
        self._worker_id = worker_id
        self._queue = queue
        self._lease_seconds = lease_seconds
        self._presence_key = presence_key
        self._stopping = False
        self._at_most = 1  # shards in one claim
        self._claim_seconds = 0.0  # that the last one took
        self._item_seconds = math.inf  # that feeding one took lately
        self._claimed: Queue[list[HeldLease]] = Queue(maxsize=1)
        self._fed: SimpleQueue[bool] = SimpleQueue()  # one answer to each claim
        Vital("feed", self._feed_claims).start()

    def step(self) -> bool:
        """Claim shards and have them fed. Return, when it is time for the next claim, whether any could run."""
        if self._stopping:
            return False
        started = time.monotonic()
        with self._database.transaction() as session:
            claimed = claims.claim(
                session,
                worker_id=self._worker_id,
                queue=self._queue,
                lease_seconds=self._lease_seconds,
                presence_key=self._presence_key(),
                at_most=self._at_most,
                besides=self._stream.slow_jobs,
            )
        self._claim_seconds = time.monotonic() - started
        if not claimed:
            return False
        held = [HeldLease(claim) for claim in claimed]
        for each in held:  # all at once: from here on they are kept
            self._open(each)
        self._claimed.put(held)
        return self._fed.get()

    def _open(self, held: HeldLease) -> None:
        claim = held.claim
        self._settler.open(held)
        log.info(
            "shard_claimed",
            job_id=str(claim.lease.job_id),
            shard_no=claim.lease.shard_no,
            attempt=claim.lease.attempt,
            items=len(claim.items),
        )
        if self._stopping:
            held.wind_down()

    def _feed_claims(self) -> None:
        while True:
            self._feed(self._claimed.get())

    def _feed(self, claimed: Sequence[HeldLease]) -> None:
        """Send shards on their way, and say so when few enough items are left to claim the next."""
        started = time.monotonic()
        early = math.ceil(2 * self._claim_seconds / self._item_seconds)  # items before the end
        left = sum(len(held.claim.items) for held in claimed)
        fed, answered = 0, False
        for held in claimed:
            items = held.claim.items
            left -= len(items)
            if held.claim.recipe.operation == "train":
                self._train(held)
                fed += len(items)
                continue
            prepared = self._prepare(held)
            if prepared is None:
                continue
            if held.claim.suspect:
                self._feed_alone(held, prepared)
            else:
                head = len(items) - min(max(early - left, 0), len(items))
                self._stream.feed(held, prepared, items[:head])
                if left < early and not answered:
                    self._fed.put(True)
                    answered = True
                self._stream.feed(held, prepared, items[head:])
            fed += len(items)
        if fed:
            seconds = time.monotonic() - started
            self._item_seconds = max(seconds, 1e-6) / fed
            self._at_most = shards_at_most(len(claimed), seconds, self._claim_seconds)
        if not answered:
            self._fed.put(fed > 0)

    def _feed_alone(self, held: HeldLease, prepared: Prepared) -> None:
        """Run a shard that may kill this process: nobody else's should die with it."""
        self._settler.wait_until_idle(besides=held)
        self._stream.feed(held, prepared, held.claim.items)
        self._settler.wait_until_idle()

    def wind_down(self) -> None:
        """Claim nothing more, and give back what the device has not begun."""
        self._stopping = True
        for held in self._held.all():
            held.wind_down()

    def _prepare(self, held: HeldLease) -> Prepared | None:
        """Load the model and encode the style; where that cannot be done, give the shard back."""
        facts = {"job_id": str(held.lease.job_id), "shard_no": held.lease.shard_no}
        try:
            with self._watch.over("prepare", held, (), PREPARE_SECONDS):
                return self._models.prepare(held.claim)
        except JobsError as error:
            log.error("prepare_failed", error=str(error), **facts)
            if error.retryable:
                self.postpone(held, error)
            else:
                self._refuse(held, error)
        except Exception as error:
            log.exception("prepare_failed", **facts)
            self.postpone(held, JobsError(f"the recipe cannot be prepared: {error!r}"))
        return None

    def postpone(self, held: HeldLease, error: JobsError) -> None:
        """Leave a shard that cannot be prepared to a later attempt; after too many of them its items fail."""
        if held.postpone():
            held.wind_down()
            return
        for item in held.claim.items:
            self._settler.fail(
                held,
                ItemResult(
                    item_no=item.item_no,
                    state=ItemState.FAILED,
                    error_code=str(error.code),
                    error_message=str(error)[:MESSAGE_CHARACTERS],
                ),
            )

    def _refuse(self, held: HeldLease, fault: JobsError) -> None:
        """End the job of a shard that can run nowhere."""
        lease = held.lease
        try:
            with self._database.transaction() as session:
                leases.release(session, lease)
                message = f"the recipe cannot run: {fault}"
                moves.fail(session, lease.job_id, code=f"recipe_{fault.code}", message=message)
        except LeaseLost:
            log.warning("lease_lost", job_id=str(lease.job_id), shard_no=lease.shard_no)
        except Exception:  # the lease expires, and who has the shard next finds out the same
            log.exception("refusal_failed", job_id=str(lease.job_id), shard_no=lease.shard_no)
        finally:
            self._settler.forget(held)
