"""`python -m worker`: one Celery worker for one device."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Sequence

import structlog
from celery.signals import setup_logging, worker_shutting_down
from pydantic import ValidationError

from jobs.doorbell import celery_app
from jobs.logs import configure
from worker.fitness import EXIT_UNFIT, Unfit, check
from worker.lifecycle import WorkerProcess
from worker.priority import give_way
from worker.settings import WorkerSettings
from worker.stopping import SIGNALS, Stopping
from worker.tasks import register
from worker.vital import end_process

log = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT."""
    asked = _parser().parse_args(arguments)
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_UNFIT
    configure(settings.log_format)
    give_way()  # before there are threads: each has a niceness of its own
    for number in SIGNALS:
        signal.signal(number, lambda *_: end_process(0))  # nothing has been claimed yet
    try:
        device = check(settings)
    except Unfit as unfit:
        sys.stderr.writelines(f"not fit to work: {fault}\n" for fault in unfit.faults)
        sys.stderr.flush()
        end_process(EXIT_UNFIT)  # at once: a thread may hang in a driver
    if asked.check:
        sys.stdout.write(f"fit to work: {device}\n")
        return 0
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
    _say_ready(asked.ready_fd)
    status = 1
    try:
        # Not by `worker_main`, which loads all of Celery's command line: half a second more at each start.
        doorbells = app.Worker(
            hostname=f"{process.worker_id}@",  # and this machine's name
            queues=[settings.queue],
            # Doorbells only set events, so one thread hears them all; the device's work has threads of its own.
            pool_cls="threads",
            concurrency=1,
            loglevel="WARNING",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        doorbells.start()
        status = int(doorbells.exitcode or 0)
    except Exception:
        log.exception("doorbells_failed")
    stopping.finish(status)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="Only say whether this process could work here, and end.")
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)  # of a pipe to whoever started this
    return parser


def _say_ready(pipe: int | None) -> None:
    if pipe is None:
        return
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(pipe, b"r")
        os.close(pipe)


if __name__ == "__main__":
    sys.exit(main())
