"""The Makefile and the pins that it installs from. Nothing is installed here: make only says what it would do."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *arguments]  # it says where it is when make itself runs these tests
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=90)


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group if not line.startswith("restyle[")]


def test_the_demo_takes_a_catalogue_and_a_style() -> None:
    said = make("-n", "demo", "CATALOGUE=my photos", "STYLE=look.jpg").stdout

    assert "restyle demo --catalogue 'my photos' --style 'look.jpg'" in said


def test_the_demo_needs_neither() -> None:
    assert re.search(r"restyle demo +\|\|", make("-n", "demo").stdout)


@pytest.mark.parametrize("target", ["demo", "test", "chaos", "check", "venv", "docs", "format", "constraints"])
def test_every_target_is_there(target: str) -> None:
    assert make("-n", target).returncode == 0


def test_what_was_compiled_once_is_kept_whatever_the_environment_says() -> None:
    told = make("--eval=told: ; @echo [$$PYTHONDONTWRITEBYTECODE]", "told", PYTHONDONTWRITEBYTECODE="1")

    assert told.stdout == "[]\n"


def test_a_python_that_is_too_old_is_refused_with_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python3.8"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    # -B: as on a machine where nothing is installed yet
    refused = make("-B", ".venv/uv.stamp", f"PYTHON={old}")

    assert refused.returncode != 0
    assert "Python 3.11 or newer: make PYTHON=" in refused.stderr


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_has_a_pin_that_it_accepts(requirement: Requirement) -> None:
    pin = pins()[canonicalize_name(requirement.name)]

    assert requirement.specifier.contains(pin)


def test_pins_are_for_every_machine() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", f"{name}=={pin}") for name, pin in pins().items())
