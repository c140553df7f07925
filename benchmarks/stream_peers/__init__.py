"""What the stream is measured against: programs as users of these libraries write them.

Each module `with_…` is run in a process of its own, and takes every picture of the catalogue from S3 to S3 through the
same model in batches of the same size. What is done to a picture (`photos`) is the same for all; what overlaps with
what is each one's own. BENCH_… variables say where everything is.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StreamPeer:
    """One way to do it."""

    name: str
    distribution: str
    module: str

    @property
    def absence(self) -> str | None:
        """Say why it cannot be measured here, or None."""
        if importlib.util.find_spec(self.module) is None:
            return f"{self.module} is not installed: make bench installs it"
        return None

    @property
    def version(self) -> str:
        return importlib.metadata.version(self.distribution)

    def command(self) -> list[str]:
        """Return the command line that runs it."""
        return [sys.executable, "-m", f"{__name__}.with_{self.name}"]


STREAM_PEERS = (
    StreamPeer(name="celery_per_image", distribution="celery", module="celery"),
    StreamPeer(name="loop", distribution="pillow", module="PIL"),
    StreamPeer(name="dataloader", distribution="torch", module="torch"),
    StreamPeer(name="ray", distribution="ray", module="ray"),
    StreamPeer(name="spdl", distribution="spdl", module="spdl"),
)
