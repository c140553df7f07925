"""A network between a worker and a server, that can be slow, silent or cut. Each end is TCP or a unix socket."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

Address = tuple[str, int] | str
CHUNK = 1 << 16


class Proxy:
    """Forwards every connection to one server.

    `cut` closes what is open and refuses what is new; `silence` keeps everything open and lets nothing through, as a
    network does that drops packets; `slow_down` delays each piece, and now and then much longer, as a lost packet
    that is sent again would be. `mend` ends all of it. Data that waited in a silence then arrives.
    """

    def __init__(self, target: Address, listen: Address = ("127.0.0.1", 0)) -> None:
        self._target = target
        self._listener = socket.socket(_family(listen))
        self._listener.bind(listen)
        self._listener.listen(64)
        self.address: Address = self._listener.getsockname()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._through = threading.Event()
        self._through.set()
        self._refusing = False
        self._closed = False
        self._delay = (0.0, 0.0, 0.0)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every connection, and each new one at once."""
        self._refusing = True
        self._close_all()

    def silence(self) -> None:
        """Let nothing through, and tell nobody."""
        self._through.clear()

    def slow_down(self, seconds: float, jitter_seconds: float, lost_share: float) -> None:
        """Delay each piece; of those lost, a share of all, by a resending time of 0.2 s more."""
        self._delay = (seconds, jitter_seconds, lost_share)

    def mend(self) -> None:
        """Let everything through again."""
        self._refusing = False
        self._delay = (0.0, 0.0, 0.0)
        self._through.set()

    def close(self) -> None:
        self._closed = True
        self._listener.close()
        self._through.set()
        self._close_all()
        if isinstance(self.address, str):
            Path(self.address).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        far = socket.socket(_family(self._target))
        try:
            if self._refusing:
                raise ConnectionError("cut")
            self._through.wait()
            far.connect(self._target)
        except OSError:
            near.close()
            far.close()
            return
        with self._lock:
            self._open |= {near, far}
        for start, end in ((near, far), (far, near)):
            threading.Thread(target=self._pump, args=(start, end), daemon=True).start()

    def _pump(self, start: socket.socket, end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := start.recv(CHUNK):
                self._through.wait()
                self._pause()
                end.sendall(data)
        self._drop(start, end)

    def _pause(self) -> None:
        seconds, jitter, lost = self._delay
        if seconds:
            time.sleep(max(0.0, random.gauss(seconds, jitter)) + (0.2 if random.random() < lost else 0.0))

    def _close_all(self) -> None:
        with self._lock:
            sockets = tuple(self._open)
        self._drop(*sockets)

    def _drop(self, *sockets: socket.socket) -> None:
        with self._lock:
            self._open -= set(sockets)
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
