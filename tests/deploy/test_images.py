"""The images' contents: laid out as the Dockerfile copies them, and run. No image is built here."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.lint import FOLDER
from deploy.references import REPOSITORY

DOCKERFILE = (FOLDER / "docker" / "Dockerfile").read_text(encoding="utf-8")
OURS = {"api", "benchmarks", "deploy", "jobs", "migrations", "restyle", "studio", "worker"}
MIGRATE_AND_LOAD = f"""
import runpy, sys
runpy.run_module("migrations", run_name="__main__")
import api.__main__
from jobs.cards import CardShelf
assert CardShelf().cards
assert "torch" not in sys.modules
for name, module in sys.modules.items():
    if name.partition(".")[0] in {OURS!r} and getattr(module, "__file__", None):
        print(module.__file__)
"""


def lay_out(target: str, folder: Path) -> Path:
    """Copy what a target of the Dockerfile copies from the repository; its working directory is `folder`."""
    [stage] = re.findall(rf"^FROM base AS {target}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    for source, place in re.findall(r"^COPY (\S+) (\S+)$", stage, re.MULTILINE):
        shutil.copytree(REPOSITORY / source, folder / place, ignore=shutil.ignore_patterns("__pycache__"))
    if "COPY --from=cards /weights worker/weights" in stage:
        for card in (REPOSITORY / "worker" / "weights").glob("*/model.json"):
            copy = folder / "worker" / "weights" / card.parent.name / card.name
            copy.parent.mkdir(parents=True)
            shutil.copy(card, copy)
    return folder


def ours_named_in(tree: Path) -> set[str]:
    """Return which of our packages the sources of a tree import, at their top or within a function."""
    names = set()
    for path in tree.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names & OURS


def test_the_api_image_holds_the_cards_but_neither_weights_nor_worker_code(tmp_path: Path) -> None:
    tree = lay_out("api", tmp_path)
    assert {path.name for path in (tree / "worker").rglob("*") if path.is_file()} == {"model.json"}
    assert not list(tree.rglob("*.safetensors"))


def test_the_api_image_migrates_and_serves_with_its_own_files_alone(tmp_path: Path) -> None:
    tree = lay_out("api", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", MIGRATE_AND_LOAD],
        cwd=tree,
        env={"PATH": os.environ["PATH"], "RESTYLE_DATABASE_URL": f"sqlite:///{tmp_path / 'restyle.db'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(Path(file).is_relative_to(tree) for file in done.stdout.split())


@pytest.mark.parametrize("target", ["worker-cpu", "worker-cuda"])
def test_a_worker_image_holds_every_package_of_ours_that_a_worker_names(tmp_path: Path, target: str) -> None:
    tree = lay_out(target, tmp_path)
    assert {path.name for path in tree.iterdir()} == {"jobs", "worker"}
    assert ours_named_in(tree) == {"jobs", "worker"}
    assert list(tree.glob("worker/weights/*/model.json"))
