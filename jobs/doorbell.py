"""Doorbells: Celery messages that wake a worker. They carry no work; losing or repeating one changes nothing.

Work is found in the database. A broker that is down therefore costs latency only, and must never cost a caller
more than a moment: a ring that fails is logged, and further rings are left out for a few seconds.
"""

from __future__ import annotations

import time
from typing import Literal

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)

Bell = Literal["plan", "work"]

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0  # without it, a ring into a connection that died without a word would wait for ever
CHECK_SECONDS = 5  # a worker that hears nothing for 1 + 2 × 5 seconds, not even silence, connects anew
SILENCE_SECONDS = 5.0  # after a ring that failed
EXPIRES_SECONDS = 30  # an old doorbell says nothing that polling has not found already


def celery_app(broker_url: str) -> Celery:
    """Return the Celery application that rings and hears doorbells."""
    app = Celery("restyle", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        task_default_queue="restyle",
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # the worker goes on without its broker, and comes back to it
        broker_connection_timeout=CONNECT_SECONDS,
        worker_redirect_stdouts=False,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options={
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": ANSWER_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": CHECK_SECONDS,
            "max_retries": 0,
        },
    )
    return app


class Doorbell:
    """Rings the workers of a queue. Safe to share between threads."""

    def __init__(self, broker_url: str) -> None:
        self._app = celery_app(broker_url)
        self._silent_until = 0.0

    def ring(self, bell: Bell, queue: str, *, times: int = 1) -> bool:
        """Wake up to `times` workers of a queue. Return whether the broker took it."""
        if time.monotonic() < self._silent_until:
            return False
        try:
            for _ in range(times):
                self._app.send_task(f"restyle.{bell}", queue=queue, expires=EXPIRES_SECONDS, retry=False)
        except (OperationalError, OSError) as error:
            self._silent_until = time.monotonic() + SILENCE_SECONDS
            log.warning("ring_failed", bell=bell, queue=queue, error=str(error))
            return False
        return True

    def check(self) -> None:
        """Ask the broker whether it is there.

        Raises:
            OperationalError, OSError: it does not answer.

        """
        with self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)

    def close(self) -> None:
        """Close the connections to the broker."""
        self._app.close()
