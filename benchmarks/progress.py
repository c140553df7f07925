"""Tells on stderr how a benchmark goes: stdout is for its figures."""

from __future__ import annotations

import sys


def say(text: str, end: str = "\n") -> None:
    """Write a line; one that ends in nothing is written over by the next that starts with a carriage return."""
    sys.stderr.write(text + end)
    sys.stderr.flush()
