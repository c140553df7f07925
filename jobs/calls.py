"""One call to a webhook's receiver: to a checked address, in bounded time, following nothing.

The standard library suffices, and leaves the socket to us: the connection goes to the address that was checked, and
is cut when time is up, however slowly the receiver drips.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jobs.addresses import AddressRefused, Target, resolve

CONNECT_SECONDS = 5.0
TRIED_ADDRESSES = 3  # of a name that has more
CALL_SECONDS = 15.0  # the whole call, from the first connection on; the standard advises 15 to 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a call ended."""

    status: int | None  # None: there was no answer
    error: str | None  # why there was none
    milliseconds: int

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool, seconds: float = CALL_SECONDS
) -> Answer:
    """Send a body, and return the status of the answer: what else it says is not read. Never raises for a receiver."""
    start = time.monotonic()
    status = error = None
    try:
        status = _status(resolve(url, allow_private=allow_private), body, headers, seconds)
    except AddressRefused as refusal:
        error = str(refusal)
    except (OSError, http.client.HTTPException) as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Answer(status=status, error=error, milliseconds=round((time.monotonic() - start) * 1000))


def _status(target: Target, body: bytes, headers: Mapping[str, str], seconds: float) -> int:
    connected = _connected(target)
    with _cut_after(seconds, connected), _secured(connected, target) as stream:
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = stream
        own = {"user-agent": "restyle-webhooks", "connection": "close"}
        connection.request("POST", target.path, body, {**headers, **own})
        return connection.getresponse().status


def _connected(target: Target) -> socket.socket:
    *others, last = target.addresses[:TRIED_ADDRESSES]
    for address in others:
        with contextlib.suppress(OSError):
            return socket.create_connection((address, target.port), CONNECT_SECONDS)
    return socket.create_connection((last, target.port), CONNECT_SECONDS)


@contextlib.contextmanager
def _secured(connected: socket.socket, target: Target) -> Iterator[socket.socket]:
    """Lend the connection, with TLS where the target has it; the certificate must be one for the target's name."""
    with connected:
        if not target.tls:
            yield connected
            return
        with ssl.create_default_context().wrap_socket(connected, server_hostname=target.host) as stream:
            yield stream


@contextlib.contextmanager
def _cut_after(seconds: float, connected: socket.socket) -> Iterator[None]:
    """Cut the connection after a while, whatever is being waited for: a limit of the socket's own is one per read.

    Raises:
        TimeoutError: it was cut, also where what had arrived by then could pass for an answer.

    """
    connected.settimeout(None)
    handle = connected.dup()  # still this connection when TLS has taken the other one over
    late = threading.Event()

    def cut() -> None:
        late.set()
        with contextlib.suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        handle.close()
        if late.is_set():
            raise TimeoutError(f"no answer within {seconds:g} s")
