"""What processes, with all that they started, have taken of the machine so far."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # in a second


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return the processor time of process trees; of what has ended in them, as far as it was waited for."""
    stats = _stats()
    return sum(sum(map(int, stats[pid][11:15])) for pid in _trees(roots, stats) if pid in stats) / TICKS


def peak_mb(roots: Iterable[int]) -> float:
    """Return the most memory that each process of trees had resident, added up, in MiB."""
    return sum(_peak_mb(pid) for pid in _trees(roots, _stats()))


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _trees(roots: Iterable[int], stats: Mapping[int, Sequence[str]]) -> set[int]:
    parents = {pid: int(fields[1]) for pid, fields in stats.items()}
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _stats() -> dict[int, list[str]]:
    """Return the fields of /proc/PID/stat that follow a process's name, of all processes."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
    return found
