"""Entity tags of jobs in the headers of HTTP (RFC 9110), and the wait that a caller prefers (RFC 7240)."""

from __future__ import annotations

import re

LONGEST_WAIT_SECONDS = 30
TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
WAIT = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})\b', re.IGNORECASE)


def quoted(tag: str) -> str:
    """Return a tag as a header has it."""
    return f'"{tag}"'


def is_known(tag: str, if_none_match: str | None) -> bool:
    """Return whether a caller has what this tag stands for."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in {found[1] for found in TAG.findall(if_none_match)}


def versions_of(if_match: str | None) -> set[int] | None:
    """Return the versions of a job that a caller would change; None: any. A weak tag stands for none."""
    if if_match is None or if_match.strip() == "*":
        return None
    parts = (tag.partition("-")[0] for weak, tag in TAG.findall(if_match) if not weak)
    return {int(part) for part in parts if part.isdecimal()}


def wait_seconds(prefer: str | None) -> int:
    """Return how long a caller prefers to wait for news, in seconds; 0: not at all."""
    found = WAIT.search(prefer or "")
    return min(int(found[1]), LONGEST_WAIT_SECONDS) if found else 0
