"""A receiver of webhooks: a real HTTP server that answers as a test tells it, and verifies what it gets."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True, kw_only=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told

    def verified_by(self, secret: str) -> bool:
        """Whether an implementation that is not ours takes the message for one signed with this secret."""
        try:
            Webhook(secret).verify(self.body, self.headers)
        except WebhookVerificationError:
            return False
        return True


@dataclass
class Receiver:
    url: str = ""
    answer: Callable[[Received], int] = lambda _received: 204
    location: str | None = None  # of a redirect
    drip: threading.Event | None = None  # sends a header line over and over until this is set
    received: list[Received] = field(default_factory=list)
    accepted: list[Received] = field(default_factory=list)


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free port of this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            message = Received(path=self.path, headers=headers, body=body)
            receiver.received.append(message)
            if receiver.drip is not None:
                self._drip(receiver.drip)
                return
            status = receiver.answer(message)
            if status < 300:
                receiver.accepted.append(message)
            self.send_response(status)
            if receiver.location is not None:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _drip(self, until: threading.Event) -> None:
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not until.wait(0.02):
                    self.wfile.write(b"X")

        do_GET = do_POST  # noqa: N815  # a redirect that is followed may come as one

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        try:
            yield receiver
        finally:
            if receiver.drip is not None:
                receiver.drip.set()
            server.shutdown()
            thread.join()
