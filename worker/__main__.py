"""`python -m worker`: one Celery worker for one device."""

from __future__ import annotations

import gc
import sys

import structlog
from celery.signals import setup_logging, worker_shutting_down
from pydantic import ValidationError

from jobs.doorbell import celery_app
from jobs.logs import configure
from worker.lifecycle import WorkerProcess
from worker.settings import WorkerSettings
from worker.stopping import Stopping
from worker.tasks import register

log = structlog.get_logger(__name__)


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure(settings.log_format)
    process = WorkerProcess(settings)
    stopping = Stopping(process.stop)
    app = celery_app(settings.broker_url.get_secret_value())
    register(app, process)

    @setup_logging.connect(weak=False)
    def _leave_logging_alone(**_: object) -> None:
        """Keep Celery from setting up logging: it would raise the root logger's level."""

    @worker_shutting_down.connect(weak=False)
    def _asked_by_celery(**_: object) -> None:
        """Hear of it from Celery, whose handlers take the place of ours."""
        stopping.ask()

    stopping.listen()
    gc.freeze()  # what was loaded so far stays: collections need not look at it over and over
    process.start()
    status = 1
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
        status = int(ended.code or 0)
    except Exception:
        log.exception("doorbells_failed")
    stopping.finish(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
