"""What a script may match on is written down, and what is written down is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.errors import ErrorCode
from jobs.states import JOB_MOVES, ItemState, JobOutcome, JobState

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference" / "states-and-codes.md").read_text(encoding="utf-8")
INTERNAL = {"lease_lost", "checkpoint_mismatch", "invalid_request"}  # of no caller's concern, or of all


def codes_in_source() -> set[str]:
    """Every code that api/ or jobs/ gives to somebody, by how it is written there."""
    pattern = re.compile(r"""\bcode(?::\s*str)?\s*=\s*"([a-z_]+)"|"code":\s*"([a-z_]+)""")
    sources = [*(ROOT / "api").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")]
    found = (match for path in sources for match in pattern.findall(path.read_text(encoding="utf-8")))
    return {first or second for first, second in found}


@pytest.mark.parametrize("name", [*JobState, *JobOutcome, *ItemState])
def test_every_state_and_outcome_is_explained(name: str) -> None:
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("code", sorted({*ErrorCode, *codes_in_source()} - INTERNAL))
def test_every_code_is_explained(code: str) -> None:
    assert f"`{code}`" in PAGE


def test_the_drawing_shows_exactly_the_moves_that_the_code_allows() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", PAGE, re.MULTILINE))
    assert drawn == {(start.value, target.value) for start, targets in JOB_MOVES.items() for target in targets}
