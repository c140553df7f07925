"""A stand-in for a hub of models, since tests reach none: what fetching a repository uses of its HTTP API."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

REPOSITORY = "shop/products"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextlib.contextmanager
def hub(files: Path) -> Iterator[str]:
    """Serve a folder as the repository `shop/products`; lend the hub's URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, data = self.path.partition("?")[0], None
            if path == f"/api/models/{REPOSITORY}/revision/main":
                data = json.dumps({"id": REPOSITORY, "sha": COMMIT}).encode()
            elif path == f"/api/models/{REPOSITORY}/tree/{COMMIT}":
                data = json.dumps([_entry(files, each) for each in sorted(files.rglob("*")) if each.is_file()]).encode()
            elif path.startswith(prefix := f"/{REPOSITORY}/resolve/{COMMIT}/"):
                data = (files / path.removeprefix(prefix)).read_bytes()
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(data or b"").hexdigest()}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data or b"")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _entry(files: Path, path: Path) -> dict[str, str | int]:
    data = path.read_bytes()
    oid = hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()  # as git has it
    return {"type": "file", "oid": oid, "size": len(data), "path": path.relative_to(files).as_posix()}
