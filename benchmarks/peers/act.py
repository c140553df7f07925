"""`python -m benchmarks.peers.act MODULE ACTION [COUNT]`: one action of a peer, in a process of its own.

`prepare` makes its tables; `enqueue` prints the seconds that COUNT items took; `work` runs a worker until it is
killed; `work_twice` runs two.
"""

from __future__ import annotations

import importlib
import multiprocessing
import sys
import time
from typing import Any


def enqueue(peer: Any, count: int, kind: str) -> None:
    """Enqueue so many items, and print how many seconds that took."""
    started = time.perf_counter()
    peer.enqueue(count, kind)
    print(time.perf_counter() - started)


def work(module: str) -> None:
    """Run a worker until it is killed."""
    importlib.import_module(f"benchmarks.peers.{module}").run_worker()


def main(module: str, action: str, *rest: str) -> None:
    """Act."""
    peer = importlib.import_module(f"benchmarks.peers.{module}")
    if action == "prepare":
        peer.prepare()
    elif action == "enqueue":
        enqueue(peer, int(rest[0]), rest[1] if len(rest) > 1 else "noop")
    elif action == "work":
        work(module)
    else:
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=work, args=(module,)) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
