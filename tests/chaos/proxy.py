"""A network between a worker and a server, that can be slow, silent or cut. Each end is TCP or a unix socket."""

from __future__ import annotations

import contextlib
import ctypes
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import make_url

Address = tuple[str, int] | str
CHUNK = 1 << 16
# From linux/filter.h and asm-generic/socket.h: a socket's filter sees each packet for it before TCP does.
ATTACH_FILTER, DETACH_FILTER = 26, 27
RETURN_CONSTANT = 0x06


class Proxy:
    """Forwards every connection to one server.

    `cut` resets what is open and refuses what is new; `silence` keeps everything open and lets nothing through, as a
    network that is stuck for a while; `forget` loses every packet of what is open, for ever, and of what is new: no
    acknowledgement comes, and no reset, as behind a firewall that forgot its connections or a host that vanished;
    `slow_down` delays each piece, and now and then much longer, as a lost packet that is sent again would be.
    `mend` ends all of it. Data that waited in a silence then arrives; what was forgotten stays so.
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

    @property
    def host_and_port(self) -> str:
        """The address as URLs have it. TCP only."""
        host, port = self.address
        return f"{host}:{port}"

    def cut(self) -> None:
        """Reset every connection, and each new one at once."""
        self._refusing = True
        self._close_all()

    def forget(self) -> None:
        """Lose every packet of every connection, now and later, and those that would open one. TCP only."""
        _lose_all(self._listener)
        with self._lock:
            for each in self._open:
                if each.family != socket.AF_UNIX:
                    _lose_all(each)

    def silence(self) -> None:
        """Let nothing through, and tell nobody."""
        self._through.clear()

    def slow_down(self, seconds: float, jitter_seconds: float, lost_share: float) -> None:
        """Delay each piece; of those lost, a share of all, by a resending time of 0.2 s more."""
        self._delay = (seconds, jitter_seconds, lost_share)

    def mend(self) -> None:
        """Let everything through again, but for what was forgotten."""
        self._refusing = False
        self._delay = (0.0, 0.0, 0.0)
        self._through.set()
        if not isinstance(self.address, str):
            with contextlib.suppress(FileNotFoundError):  # it has no filter
                self._listener.setsockopt(socket.SOL_SOCKET, DETACH_FILTER, 0)

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
            _reset(near)
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
        self._drop(*sockets, resetting=True)

    def _drop(self, *sockets: socket.socket, resetting: bool = False) -> None:
        with self._lock:
            still_open = self._open & set(sockets)
            self._open -= still_open
        for each in still_open:
            if resetting:
                _reset(each)
            with contextlib.suppress(OSError):  # wakes who reads from it; the goodbye would come before a reset
                each.shutdown(socket.SHUT_RD if resetting else socket.SHUT_RDWR)
            each.close()


@contextlib.contextmanager
def database_behind_a_proxy(url: str) -> Iterator[tuple[Proxy, str]]:
    """Lend a network to a Postgres that listens on a unix socket, and the URL of the database behind it."""
    real = make_url(url)
    with Proxy(f"{real.query['host']}/.s.PGSQL.5432") as proxy:
        behind = f"{real.drivername}://{real.username}@{proxy.host_and_port}/{real.database}"
        yield proxy, behind


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_UNIX if isinstance(address, str) else socket.AF_INET


def _lose_all(each: socket.socket) -> None:
    """Let the kernel drop whatever arrives at a socket, before TCP sees it."""
    nothing = ctypes.create_string_buffer(struct.pack("HBBI", RETURN_CONSTANT, 0, 0, 0))
    each.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(nothing)))


def _reset(each: socket.socket) -> None:
    """Let a socket's end be a reset, and not a goodbye."""
    if each.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
