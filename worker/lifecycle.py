"""One worker process: what it starts, how it is woken, how it stops."""

from __future__ import annotations

import functools
import threading
import time
import uuid

import structlog
import torch

from jobs.advance import advance
from jobs.cards import CardShelf
from jobs.database import Database
from jobs.doorbell import Bell, Doorbell
from jobs.job_leases import JobLease, claim_job, let_go
from jobs.maintenance import expire_jobs, start_finishing, waiting_queues
from jobs.retention import drop_messages
from jobs.storage import Storages
from jobs.tenants import tenant_of_job
from worker.device import resolve
from worker.hanging import end_hung
from worker.heartbeat import Control, Heartbeat
from worker.held import HeldLeases
from worker.images import PictureLimits
from worker.loops import Loop
from worker.model_cache import ModelCache
from worker.presence import Presence
from worker.runner import Runner
from worker.settings import WorkerSettings
from worker.settler import Settler
from worker.sheet import draw_sheet
from worker.stages import Stages
from worker.stream import Stream
from worker.trainer import Trainer
from worker.watch import Watch
from worker.webhook_sender import WebhookSender

log = structlog.get_logger(__name__)

MAINTENANCE_SECONDS = 10.0
PRESENCE_SECONDS = 2.0  # for the first claim to carry the presence; a later heartbeat writes it otherwise
OTHER_CONNECTIONS = 8  # a style's pictures, planning, and a job's own files, of which a large one goes in four parts
CALLS_SECONDS = 0.5  # longest wait, when stopping, for calls to webhooks; what is not answered is sent again
STOP_SECONDS = 2.5  # to encode, write and settle what the device has done; what is not done then is given back
GIVE_BACK_SECONDS = 1.0  # for the database to take it; then the leases expire


class WorkerProcess:
    """All threads of one worker.

    Two loops look for work: `work` claims shards for the device, `plan` does what one worker does alone for a
    whole job. A doorbell wakes them; silence is filled by polling, so a dead broker costs latency only. A third
    sends the messages of webhooks.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.worker_id = uuid.uuid4()  # fresh at every start: a restarted process holds none of its old leases
        self._settings = settings
        self._limits = PictureLimits()
        self._database = Database(settings.database_url.get_secret_value())
        self._storages = Storages(
            s3_endpoint_url=settings.s3_endpoint_url,
            s3_region=settings.s3_region,
            # The stream has twice as many threads as one bucket may keep busy: see Lanes.
            max_connections=2 * (settings.read_threads + settings.write_threads) + OTHER_CONNECTIONS,
        )
        self._doorbell = Doorbell(settings.broker_url.get_secret_value())
        self._held = HeldLeases()
        self._maintained_at = 0.0
        self._stopping = threading.Event()
        self._job_lease: JobLease | None = None
        torch.set_num_threads(1)  # for each batch; see ModelStage
        self._presence = Presence(
            self._database,
            self.worker_id,
            on_change=lambda: self._heartbeat.wake(),
            on_rescue=self._on_rescue,
        )
        self._settler = Settler(
            self._database,
            self._held,
            on_job_complete=self._on_job_complete,
            device_hour_cost=settings.device_hour_cost,
        )
        self._heartbeat = Heartbeat(
            self._database,
            self._held,
            lease_seconds=settings.lease_seconds,
            presence_key=lambda: self._presence.key,
        )
        self._control = Control(self._database, self._held)
        self._watch = Watch(lambda call: end_hung(call, self._runner, self._settler))
        self._device = resolve(settings.device)
        self._shelf = CardShelf(settings.models_dir)
        self._models = ModelCache(
            self._shelf,
            self._device,
            self._storages,
            self._limits,
            memory_bytes=settings.model_memory_mb << 20,
            compile_dir=settings.compile_dir,
        )
        self._stream = Stream(
            Stages(self._storages, self._limits, memory_bytes=settings.memory_mb << 20),
            self._settler,
            settings,
            self._models,
            self._watch,
        )
        self._trainer = Trainer(
            self._database,
            self._settler,
            device=self._device,
            models_dir=settings.models_dir,
            device_hour_cost=settings.device_hour_cost,
        )
        self._runner = Runner(
            self._database,
            self._held,
            self._models,
            self._stream,
            self._settler,
            self._watch,
            self._trainer.train,
            worker_id=self.worker_id,
            queue=settings.queue,
            lease_seconds=settings.lease_seconds,
            presence_key=lambda: self._presence.key,
        )
        self._loops: dict[Bell, Loop] = {
            "work": Loop("work", self._runner.step, poll_seconds=settings.poll_seconds),
            "plan": Loop("plan", self._plan, poll_seconds=settings.poll_seconds),
        }
        sender = WebhookSender(self._database, allow_private=settings.webhook_allow_private)
        self._sending = Loop("webhooks", sender.step, poll_seconds=settings.poll_seconds)

    def start(self) -> None:
        """Start every thread, once the models are warm."""
        self._models.warm_up()
        for thread in (self._settler, self._heartbeat, self._control, self._watch, self._presence):
            thread.start()
        self._presence.wait_until_tried(PRESENCE_SECONDS)
        for loop in (*self._loops.values(), self._sending):
            loop.start()
        log.info("worker_ready", worker_id=str(self.worker_id), device=str(self._device), queue=self._settings.queue)

    def wake(self, bell: Bell) -> None:
        """Look for work now."""
        self._loops[bell].wake()

    def stop(self) -> None:
        """Finish the batch on the device, settle it, give the rest back.

        What the device has not begun is given back at once, whatever else waits. Takes at most 5 s beyond the batch
        on the device, also while the storage or the database does not answer.
        """
        started = time.monotonic()
        log.info("worker_stopping", worker_id=str(self.worker_id), leases=len(self._held.all()))
        self._stopping.set()
        for loop in (*self._loops.values(), self._sending):
            loop.stop()
        self._runner.wind_down()
        settled = self._wait_for_device()
        if not settled:
            self._settler.give_up()
        self._loops["work"].join(0.1)
        self._runner.wind_down()  # for a shard that was claimed while the loop was being stopped
        settled = self._settler.wait_until_idle(GIVE_BACK_SECONDS)
        self._let_job_go()
        self._sending.join(CALLS_SECONDS)
        self._heartbeat.stop()
        self._control.stop()
        self._presence.stop()
        log.info(
            "worker_stopped",
            worker_id=str(self.worker_id),
            settled=settled,
            seconds=round(time.monotonic() - started, 2),
        )

    def _wait_for_device(self) -> bool:
        """Wait for what is on the device, however long that takes, and a little for what comes after it."""
        until = time.monotonic() + STOP_SECONDS
        while not self._settler.wait_until_idle(0.05):
            if self._stream.on_device:
                until = time.monotonic() + STOP_SECONDS
            elif time.monotonic() > until:
                return False
        return True

    def _let_job_go(self) -> None:
        """Give back the job whose step has not ended, perhaps because storage does not answer."""
        plan, lease = self._loops["plan"], self._job_lease
        plan.join(0.1)
        if not plan.is_alive() or lease is None:
            return
        giving_back = threading.Thread(target=self._give_job_back, args=(lease,), daemon=True)
        giving_back.start()
        giving_back.join(GIVE_BACK_SECONDS)

    def _give_job_back(self, lease: JobLease) -> None:
        with self._database.transaction() as session:
            let_go(session, lease)

    def _plan(self) -> bool:
        """Do one step of one job, if one waits. Return whether there was one."""
        if time.monotonic() - self._maintained_at > MAINTENANCE_SECONDS:
            self._maintained_at = time.monotonic()
            self._maintain()
        with self._database.transaction() as session:
            expire_jobs(session)
            lease = claim_job(
                session,
                worker_id=self.worker_id,
                lease_seconds=self._settings.lease_seconds,
                stopping=self._stopping,
                presence_key=lambda: self._presence.key,
            )
        self._job_lease = lease
        if lease is None:
            return False
        with self._database.reading() as session:
            tenant = tenant_of_job(session, self._settings, lease.job_id)
        advance(
            self._database,
            self._storages,
            lease,
            shelf=self._shelf,
            allowed=[str(prefix) for prefix in tenant.allowed_prefixes],
            ring=self._ring,
            draw_sheet=functools.partial(draw_sheet, self._database, self._storages, self._limits),
        )
        return True

    def _maintain(self) -> None:
        with self._database.transaction() as session:
            start_finishing(session)
        with self._database.transaction() as session:
            drop_messages(session)
        with self._database.reading() as session:
            queues = waiting_queues(session)
        for queue in queues:
            self._doorbell.ring("work", queue)

    def _ring(self, queue: str, times: int) -> None:
        self._doorbell.ring("work", queue, times=times)
        if queue == self._settings.queue:
            self.wake("work")

    def _on_rescue(self, bell: Bell, queue: str) -> None:
        self._doorbell.ring(bell, queue)
        if bell == "plan" or queue == self._settings.queue:  # steps of jobs are any queue's
            self.wake(bell)

    def _on_job_complete(self, _job_id: uuid.UUID) -> None:
        self.wake("plan")
