"""A worker lets others go first, however the kernel divides its time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.processes import ROOT
from worker.priority import NICENESS

PROGRAM = """
import pathlib, subprocess, sys
from worker.priority import give_way
give_way(pathlib.Path(sys.argv[1]))
print(subprocess.run(["nice"], stdout=subprocess.PIPE, text=True).stdout)
"""


@pytest.mark.parametrize("leads", [True, False])
def test_who_leads_a_session_lowers_it_as_well(tmp_path: Path, leads: bool) -> None:
    group = tmp_path / "autogroup"
    group.touch()
    command = [sys.executable, "-c", PROGRAM, str(group)]
    answer = subprocess.run(
        command, start_new_session=leads, cwd=ROOT, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, check=True
    )
    assert int(answer.stdout) >= NICENESS
    assert group.read_text() == (str(NICENESS) if leads else "")


def test_a_kernel_without_groups_is_no_obstacle(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "there" / "is none")]
    answer = subprocess.run(command, start_new_session=True, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert int(answer.stdout) >= NICENESS
