"""`python -m benchmarks.witness_worker`: the real worker, but each item sleeps and is told to the witness."""

from __future__ import annotations

import sys

from benchmarks.noop_worker import NoopStream, run
from benchmarks.peers import witness
from worker.work import Work


class WitnessStream(NoopStream):
    """One item at a time, as the peers of the benchmark of recovery work."""

    def act(self, work: Work) -> None:
        """Do an item before witnesses."""
        witness.work(work.item.item_no)
        super().act(work)


if __name__ == "__main__":
    sys.exit(run(WitnessStream))
