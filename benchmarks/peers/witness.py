"""What the tasks of the benchmark of recovery do: a little work, and two lines to a file outside every queue.

A line is one write to a file opened for appending, so lines of several processes do not mix. `S` says that an item
started, `E` that its effect happened.
"""

from __future__ import annotations

import os
import time

WORK_SECONDS = 0.02  # of an item, slept


def say(letter: str, item: int) -> None:
    """Append a line: what happened, to which item, in which session of processes, when."""
    line = f"{letter} {item} {os.getsid(0)} {time.time():.6f}\n"
    file = os.open(os.environ["BENCH_WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def work(item: int) -> None:
    """Work on an item."""
    say("S", item)
    time.sleep(WORK_SECONDS)
    say("E", item)
