"""A line to an S3 server that damages what passes, answers "slow down", crawls or fails, as a test asks."""

from __future__ import annotations

import collections
import contextlib
import http.client
import http.server
import threading
import time
import urllib.parse
from collections.abc import Iterator

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class S3Proxy(http.server.ThreadingHTTPServer):
    """Forwards every request, and does to it what its attributes say. Buckets are told apart by the path."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, target_url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        target = urllib.parse.urlsplit(target_url)
        self.target = f"{target.hostname}:{target.port}"
        self.damaged_gets = 0  # so many bodies of answers to come lose a bit
        self.damaged_puts = 0
        self.without_checksums = False  # answers carry none, as those of older servers
        self.per_second: dict[str, int] = {}  # of a bucket: more calls are told to slow down
        self.held: dict[str, threading.Event] = {}  # of a bucket: its calls wait until the event is set
        self.calls: collections.Counter[tuple[str, str, int]] = collections.Counter()  # by bucket, method and status
        self.lock = threading.Lock()
        self.times: dict[str, collections.deque[float]] = collections.defaultdict(collections.deque)

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, name: str) -> bool:
        """Use up one of a number of faults."""
        with self.lock:
            left = int(getattr(self, name))
            setattr(self, name, max(left - 1, 0))
        return left > 0

    def too_many(self, bucket: str) -> bool:
        """Count a call of a bucket. Return whether it is one too many in this second."""
        limit = self.per_second.get(bucket)
        if limit is None:
            return False
        with self.lock:
            now, times = time.monotonic(), self.times[bucket]
            while times and times[0] < now - 1:
                times.popleft()
            if len(times) >= limit:
                return True
            times.append(now)
            return False


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3Proxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        bucket = self.path.split("?")[0].split("/")[1]
        held = self.server.held.get(bucket)
        if held is not None:
            held.wait()
        if self.server.too_many(bucket):
            self._answer(bucket, 503, [("Content-Type", "application/xml")], SLOW_DOWN)
            return
        if self.command == "PUT" and body and self.server.take("damaged_puts"):
            body = _damaged(body)
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {*HOP_BY_HOP, "expect"}:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            data = answer.read()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
        if self.server.without_checksums:
            headers = [(name, value) for name, value in headers if not name.lower().startswith("x-amz-checksum-")]
        if self.command == "GET" and data and answer.status == 200 and self.server.take("damaged_gets"):
            data = _damaged(data)
        self._answer(bucket, answer.status, headers, data)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _forward  # noqa: N815

    def _answer(self, bucket: str, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.server.calls[(bucket, self.command, status)] += 1
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() != "content-length" or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@contextlib.contextmanager
def s3_proxy(target_url: str) -> Iterator[S3Proxy]:
    """Lend a line to a server."""
    with S3Proxy(target_url) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            for event in proxy.held.values():
                event.set()
            proxy.shutdown()
            thread.join()
