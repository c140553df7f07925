"""The API and a worker as real processes, and all that they need, for tests that follow a job from end to end."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx

from tests.nursery import ROOT, Nursery
from tests.servers import Running, Server

WAIT_SECONDS = 90.0  # a small job on a machine that does much else
LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where everything is."""

    database_url: str
    broker_url: str
    storage_url: str
    allowed_prefixes: str
    extra: dict[str, str]

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "RESTYLE_DATABASE_URL": self.database_url,
            "RESTYLE_BROKER_URL": self.broker_url,
            "RESTYLE_STORAGE_URL": self.storage_url,
            "RESTYLE_ALLOWED_PREFIXES": self.allowed_prefixes,
            "PYTHONPATH": str(ROOT),
            **self.extra,
        }


def shelf_of(parent: Path, *models: str) -> str:
    """Return a folder of a few built-in models: a worker that has only these is ready a second earlier."""
    folder = Path(tempfile.mkdtemp(prefix="models-", dir=parent))
    for model in models:
        (folder / model).symlink_to(ROOT / "worker" / "weights" / model)
    return str(folder)


class Program(Server):
    """A program of the product, by `python -m`, or from a nursery, where one is given."""

    program: str

    def __init__(self, parent: Path, settings: Settings, nursery: Nursery | None = None) -> None:
        super().__init__(parent)
        self.settings = settings
        self._nursery = nursery

    def command(self) -> list[str]:
        return [sys.executable, "-m", self.program]

    def environment(self) -> dict[str, str]:
        return self.settings.environment()

    def process_options(self) -> dict[str, Any]:
        return {"env": self.environment()}

    def launch(self) -> Running:
        if self._nursery is None:
            return super().launch()
        return self._nursery.fork(
            self.program, self.environment(), folder=self.folder, log=self._log, pid_file=self._pid_file
        )

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


class Api(Program):
    """The API on a free port."""

    name: ClassVar[str] = "api"
    program = "api"

    def __init__(self, parent: Path, settings: Settings, nursery: Nursery | None = None) -> None:
        super().__init__(parent, settings, nursery)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "RESTYLE_PORT": str(self.port)}

    def probe(self) -> None:
        try:
            self.client.get("/readyz").raise_for_status()
        except httpx.HTTPError as error:
            raise ConnectionError(str(error)) from error

    def enqueue(self, request: dict[str, Any]) -> str:
        answer = self.client.post("/v1/jobs", json=request)
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def add_style(self, name: str, picture: bytes) -> None:
        answer = self.client.post("/v1/styles", data={"name": name}, files={"references": ("look.jpg", picture)})
        assert answer.status_code == 201, answer.text

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def items(self, job_id: str, **filters: Any) -> list[dict[str, Any]]:
        """Return every item, page by page."""
        found: list[dict[str, Any]] = []
        after: int | None = None
        while True:
            query = {"limit": 100, **filters} | ({} if after is None else {"after": after})
            page = self.client.get(f"/v1/jobs/{job_id}/items", params=query).raise_for_status().json()
            found += page["data"]
            if page["next_after"] is None:
                return found
            after = page["next_after"]

    def wait(self, job_id: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Look at a job until it is as wanted; its counts must add up at every look, and never go back."""
        deadline = time.monotonic() + WAIT_SECONDS
        seen = -1
        while True:
            job = self.job(job_id)
            counts = job["counts"]
            settled = sum(counts[state] for state in ("succeeded", "reused", "rejected", "failed", "cancelled"))
            assert counts["pending"] + settled == counts["total"]
            assert settled >= seen
            seen = settled
            if until(job):
                return job
            assert time.monotonic() < deadline, f"still {job}"
            time.sleep(LOOK_SECONDS)

    def wait_until_ended(self, job_id: str) -> dict[str, Any]:
        return self.wait(job_id, lambda job: job["state"] == "ended")


class Worker(Program):
    """A worker."""

    name: ClassVar[str] = "worker"
    program = "worker"

    def __repr__(self) -> str:
        return f"worker with log:\n{self.log()[-3000:]}"

    def probe(self) -> None:
        if '"worker_ready"' not in self.log():
            raise ConnectionError("the worker has not said that it is ready")

    def peak_mb(self) -> float:
        """Most memory that it had resident so far, in MiB; 0 where the kernel does not say."""
        status = Path(f"/proc/{self.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the worker, which goes on being ours."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait_for_log(self, *texts: str) -> None:
        """Wait until the log holds one of some texts."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not any(text in self.log() for text in texts):
            assert time.monotonic() < deadline, f"none of {texts} in the log"
            time.sleep(LOOK_SECONDS)
