"""Waits for processes that are not our children, by their process file descriptors: no sleep, no polling."""

from __future__ import annotations

import os
import select
from pathlib import Path

SECONDS = 30


def wait_until_gone(pid: int, seconds: float = SECONDS) -> bool:
    """Return whether a process ends in time; at once if it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def processes_with(*texts: str) -> dict[int, str]:
    """Return id and command line of every process with one of the texts in its environment or its line, on Linux."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if any(text in line or text.encode() in (folder / "environ").read_bytes() for text in texts):
                    found[int(folder.name)] = line
            except OSError:
                continue  # it ended meanwhile, or is somebody else's
    return found
