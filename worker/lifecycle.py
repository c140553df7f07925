"""One worker process: what it starts, how it is woken, how it stops."""

from __future__ import annotations

import functools
import os
import threading
import time
import uuid

import structlog
import torch

from jobs.advance import advance
from jobs.cards import CardShelf
from jobs.database import Database
from jobs.doorbell import Bell, Doorbell
from jobs.job_leases import claim_job
from jobs.maintenance import expire_jobs, start_finishing, waiting_queues
from jobs.storage import Storages
from jobs.tenants import tenant_of_job
from worker.device import resolve
from worker.heartbeat import Heartbeat
from worker.held import HeldLeases
from worker.images import PictureLimits
from worker.loops import Loop
from worker.model_cache import ModelCache
from worker.runner import Runner
from worker.settings import WorkerSettings
from worker.settler import Settler
from worker.sheet import draw_sheet
from worker.stages import Stages
from worker.stream import Stream
from worker.webhook_sender import WebhookSender

log = structlog.get_logger(__name__)

MAINTENANCE_SECONDS = 10.0
CALLS_SECONDS = 2.0  # longest wait, when stopping, for calls to webhooks; what is not answered is sent again
STOP_SECONDS = 60.0  # longest wait for a batch on the device; then its leases expire


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
        self._storages = Storages(s3_endpoint_url=settings.s3_endpoint_url, s3_region=settings.s3_region)
        self._doorbell = Doorbell(settings.broker_url.get_secret_value())
        self._held = HeldLeases()
        self._maintained_at = 0.0
        self._stopping = threading.Event()
        device = resolve(settings.device)
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))  # the other half decodes and encodes
        self._settler = Settler(self._database, self._held, on_job_complete=self._on_job_complete)
        self._heartbeat = Heartbeat(self._database, self._held, lease_seconds=settings.lease_seconds)
        self._runner = Runner(
            self._database,
            self._held,
            ModelCache(CardShelf(settings.models_dir), device, self._storages, self._limits),
            Stream(
                Stages(self._storages, self._limits, memory_bytes=settings.memory_mb << 20),
                self._settler,
                settings,
                device,
            ),
            self._settler,
            worker_id=self.worker_id,
            queue=settings.queue,
            lease_seconds=settings.lease_seconds,
        )
        self._loops: dict[Bell, Loop] = {
            "work": Loop("work", self._runner.step, poll_seconds=settings.poll_seconds),
            "plan": Loop("plan", self._plan, poll_seconds=settings.poll_seconds),
        }
        sender = WebhookSender(self._database, allow_private=settings.webhook_allow_private)
        self._sending = Loop("webhooks", sender.step, poll_seconds=settings.poll_seconds)
        self._device = device

    def start(self) -> None:
        """Start every thread."""
        self._settler.start()
        self._heartbeat.start()
        for loop in (*self._loops.values(), self._sending):
            loop.start()
        log.info("worker_ready", worker_id=str(self.worker_id), device=str(self._device), queue=self._settings.queue)

    def wake(self, bell: Bell) -> None:
        """Look for work now."""
        self._loops[bell].wake()

    def wind_down(self) -> None:
        """Begin to stop; returns at once. Safe in a signal handler, and to call twice."""
        self._stopping.set()
        self._runner.wind_down()
        for loop in (*self._loops.values(), self._sending):
            loop.stop()

    def stop(self) -> None:
        """Finish the batch on the device, settle it, give the rest back, and close everything."""
        self.wind_down()
        until = time.monotonic() + STOP_SECONDS
        for loop in self._loops.values():
            loop.join(max(0.0, until - time.monotonic()))
        self._runner.wind_down()  # for a shard that was claimed while the loop was being stopped
        settled = self._settler.wait_until_idle(max(0.0, until - time.monotonic()))
        self._heartbeat.stop()
        self._sending.join(CALLS_SECONDS)
        self._doorbell.close()
        log.info("worker_stopped", worker_id=str(self.worker_id), settled=settled)

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
            )
        if lease is None:
            return False
        with self._database.reading() as session:
            tenant = tenant_of_job(session, self._settings, lease.job_id)
        advance(
            self._database,
            self._storages,
            lease,
            allowed=[str(prefix) for prefix in tenant.allowed_prefixes],
            ring=self._ring,
            draw_sheet=functools.partial(draw_sheet, self._database, self._storages, self._limits),
        )
        return True

    def _maintain(self) -> None:
        with self._database.transaction() as session:
            start_finishing(session)
        with self._database.reading() as session:
            queues = waiting_queues(session)
        for queue in queues:
            self._doorbell.ring("work", queue)

    def _ring(self, queue: str, times: int) -> None:
        self._doorbell.ring("work", queue, times=times)
        if queue == self._settings.queue:
            self.wake("work")

    def _on_job_complete(self, _job_id: uuid.UUID) -> None:
        self.wake("plan")
