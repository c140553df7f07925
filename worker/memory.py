"""How much memory this process may still take, as the kernel says it."""

from __future__ import annotations

import re
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
OWN_CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """Return the least of what the machine and this process's control group have left; None where nobody says.

    Files that the kernel keeps in memory count as free: it gives them up for the asking.
    """
    known = [amount for amount in (_of_machine(), _of_cgroup()) if amount is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _of_cgroup() -> int | None:
    try:
        named = re.search(r"^0::/?(.*)$", OWN_CGROUP.read_text(), re.MULTILINE)
        folder = CGROUPS / named[1] if named else CGROUPS
        if not (folder / "memory.max").exists():  # in a container its own group is the root that it sees
            folder = CGROUPS
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        idle = re.search(r"^inactive_file (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if limit == "max" else int(limit) - used + (int(idle[1]) if idle else 0)
