"""A worker's place among whatever else runs on its machine: behind those whom people wait for."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NICENESS = 7  # a fifth of the share of others; chosen: at 10, a tenth, a busy machine would starve the heartbeat too
GROUP = Path("/proc/self/autogroup")


def give_way(group: Path = GROUP) -> None:
    """Let others go first where processor cores are short: a database or an API, whose answers this worker needs too.

    Linux divides time among sessions before it divides it within them, where niceness counts: who leads a session, as
    services do, lowers that as well (man 7 sched, "The autogroup feature").
    """
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # no such feature here, or it may not be told so
            group.write_text(str(NICENESS))
