"""`python -m benchmarks.noop_worker`: the real worker, but that every item succeeds as soon as it is fed.

Only the stream is another: it hands each item to the settler at once, with a result as full as a real one. Loops,
doorbells, claims, heartbeats, planning, settling, finishing are the worker's own.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from typing import Any

import worker.lifecycle
from jobs.claims import ClaimedItem
from worker.__main__ import main
from worker.held import HeldLease
from worker.prepared import Prepared
from worker.settler import Settler
from worker.work import Work

DIGEST = "0123456789abcdef" * 4
MILLISECONDS = {"read": 1.2, "decode": 10.1, "model": 20.4, "measure": 2.1, "encode": 8.9, "write": 2.3}
MEASURES = {
    "psnr_db": 19.283,
    "ssim": 0.93112,
    "structure": 0.97245,
    "sharpness": 1.0181,
    "silhouette_iou": 0.99541,
    "style_distance": 31.207,
    "colour_shift": 7.3316,
}


class NoopStream:
    """Takes the place of `worker.stream.Stream`."""

    on_device = False  # nothing ever is
    slow_jobs: frozenset[uuid.UUID] = frozenset()

    def __init__(self, *parts: Any) -> None:
        [self._settler] = [part for part in parts if isinstance(part, Settler)]

    def feed(self, held: HeldLease, prepared: Prepared, items: Sequence[ClaimedItem]) -> None:
        """Let every item succeed."""
        for item in items:
            if not held.begin(item.item_no):
                return
            work = Work(held=held, item=item, prepared=prepared)
            self.act(work)
            self._settler.inbox.put(work)

    def act(self, work: Work) -> None:
        """Do an item."""
        work.source_sha256 = work.sha256 = DIGEST
        work.source_bytes, work.written_bytes = 318_000, 204_800
        work.size = (1500, 1500)
        work.measures = MEASURES
        work.milliseconds, work.device_seconds = dict(MILLISECONDS), MILLISECONDS["model"] / 1000


def run(stream: type[NoopStream]) -> int:
    """Run a worker with another stream, as `python -m worker` does."""
    worker.lifecycle.Stream = stream  # type: ignore[assignment,attr-defined]
    return main()


if __name__ == "__main__":
    sys.exit(run(NoopStream))
