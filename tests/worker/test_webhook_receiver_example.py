"""The receiver that the documentation shows does what it says there."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from jobs import calls, events
from jobs.database import Database
from tests.factories import make_job, make_webhook
from worker.webhook_sender import WebhookSender

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


def test_the_receiver_of_the_documentation_takes_a_message_and_refuses_a_forgery(database: Database) -> None:
    [program] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    url = f"http://127.0.0.1:{(port := free_port())}/"
    with database.transaction() as session:
        webhook = make_webhook(session, url)
        job = make_job(session)
        events.record(session, "default", job.id, "job.ended", actor="worker", outcome="succeeded")
    environment = os.environ | {"WEBHOOK_SECRET": webhook.secrets[0], "PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as receiver:
        try:
            forged = {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
            answer = calls.post(url, b"{}", forged, allow_private=True)
            for _ in range(600):
                if answer.status is not None or receiver.poll() is not None:
                    break
                time.sleep(0.05)  # until it listens
                answer = calls.post(url, b"{}", forged, allow_private=True)
            assert answer.status == 401
            WebhookSender(database, allow_private=True).step()
            assert receiver.stdout is not None
            assert receiver.stdout.readline() == f"job.ended {job.id}\n"
        finally:
            receiver.kill()
