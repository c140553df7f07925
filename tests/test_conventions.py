"""Rules about the code that a reader relies on, held by reading the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "jobs", "migrations", "restyle", "studio", "worker")


def sources(*packages: str) -> Iterator[Path]:
    for package in packages:
        yield from sorted((ROOT / package).rglob("*.py"))


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_only_the_database_module_commits() -> None:
    committing = {
        path.relative_to(ROOT).as_posix()
        for path in sources("api", "jobs", "worker")
        if any(call.endswith((".commit", "session.begin")) for call in calls(path))
    }
    assert committing == {"jobs/database.py"}


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "base", "manager", "handlers"])
def test_no_module_has_a_name_that_says_nothing(name: str) -> None:
    found = {path.relative_to(ROOT).as_posix() for path in sources(*PACKAGES) if path.stem == name}
    assert found <= {"worker/pipelines/base.py"}


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        for part in page.read_text(encoding="utf-8").split("](")[1:]:
            target = part.split(")")[0].split("#")[0]
            if target and "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
