"""Sends the messages of webhooks: claim, call, write down what came of it. No transaction is open during a call."""

from __future__ import annotations

import threading

import structlog

from jobs import calls, deliveries, signing
from jobs.database import Database
from jobs.deliveries import Message

log = structlog.get_logger(__name__)

AT_ONCE = 8  # calls


class WebhookSender:
    """A step of a loop. A process that ends in the middle of a call loses nothing: the message's lease runs out."""

    def __init__(self, database: Database, *, allow_private: bool, call_seconds: float = calls.CALL_SECONDS) -> None:
        self._database = database
        self._allow_private = allow_private
        self._call_seconds = call_seconds

    def step(self) -> bool:
        """Send what is due, a few messages at once. Return whether there was anything."""
        with self._database.reading() as session:
            if not deliveries.any_due(session):
                return False  # without the lock that a look with intent to write takes
        with self._database.transaction() as session:
            messages = deliveries.claim(session, limit=AT_ONCE)
        # Daemons, so that a receiver that is slow to answer does not keep the process from ending.
        threads = [threading.Thread(target=self._send, args=(message,), daemon=True) for message in messages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return bool(messages)

    def _send(self, message: Message) -> None:
        sent_at = int(message.sent_at.timestamp())
        headers = signing.headers(str(message.id), sent_at, message.body, message.secrets)
        answer = calls.post(
            message.url, message.body, headers, allow_private=self._allow_private, seconds=self._call_seconds
        )
        try:
            with self._database.transaction() as session:
                state = deliveries.record_answer(session, message, answer)
        except Exception as error:  # noqa: BLE001  # whatever it is, the lease runs out and the message is sent again
            log.warning("webhook_answer_not_recorded", delivery_id=str(message.id), error=repr(error))
            return
        log.info(
            "webhook_called",
            webhook_id=str(message.webhook_id),
            delivery_id=str(message.id),
            attempt=message.attempt,
            status=answer.status,
            error=answer.error,
            state=state,
        )
