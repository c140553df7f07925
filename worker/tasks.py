"""What a doorbell does: it wakes a loop of this process. The work itself is found in the database."""

from __future__ import annotations

from celery import Celery

from worker.lifecycle import WorkerProcess


def register(app: Celery, process: WorkerProcess) -> None:
    """Let the application's doorbells wake this process."""

    @app.task(name="restyle.work")
    def work() -> None:
        process.wake("work")

    @app.task(name="restyle.plan")
    def plan() -> None:
        process.wake("plan")
