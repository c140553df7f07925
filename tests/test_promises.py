"""The page of promises: each names tests that exist, and says no more than is true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
PROMISES = re.split(
    r"^(?=\*\*)", PAGE.partition("## Nothing is lost")[2].partition("## What is not")[0], flags=re.MULTILINE
)


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_test_that_holds_a_promise_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("promise", PROMISES[1:], ids=lambda promise: promise[2:40])
def test_every_promise_names_a_test(promise: str) -> None:
    assert "::test_" in promise


def test_nobody_promises_exactly_once_without_saying_what() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        text = " ".join(page.read_text(encoding="utf-8").split()).lower()
        for claim in re.findall(r"exactly[ -]once\b.{0,12}", text):
            assert re.match(r"exactly[ -]once recorded\b", claim), f"{page.name}: {claim}"
