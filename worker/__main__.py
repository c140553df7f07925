"""`python -m worker`: one Celery worker for one device."""

from __future__ import annotations

import sys

from celery.signals import setup_logging, worker_shutting_down
from pydantic import ValidationError

from jobs.doorbell import celery_app
from jobs.logs import configure
from worker.lifecycle import WorkerProcess
from worker.settings import WorkerSettings
from worker.tasks import register


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure(settings.log_format)
    process = WorkerProcess(settings)
    app = celery_app(settings.broker_url.get_secret_value())
    register(app, process)

    @setup_logging.connect(weak=False)
    def _leave_logging_alone(**_: object) -> None:
        """Keep Celery from setting up logging: it would raise the root logger's level."""

    @worker_shutting_down.connect(weak=False)
    def _wind_down(**_: object) -> None:
        process.wind_down()

    process.start()
    try:
        app.worker_main(
            [
                "--quiet",
                "worker",
                # Doorbells only set events, so one thread hears them all; the device's work has threads of its own.
                "--pool=threads",
                "--concurrency=1",
                f"--queues={settings.queue}",
                f"--hostname={process.worker_id}@%h",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
            ]
        )
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        process.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
