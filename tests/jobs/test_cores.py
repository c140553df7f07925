from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.cores import cores


@pytest.fixture(autouse=True)
def _sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)), raising=False)


def test_without_a_quota_every_core_of_the_affinity_counts(tmp_path: Path) -> None:
    assert cores(tmp_path) == 16
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores(tmp_path) == 16


@pytest.mark.parametrize(("quota", "counted"), [("400000", 4), ("150000", 2), ("20000", 1), ("9900000", 16)])
def test_a_containers_quota_counts_and_part_of_a_core_is_one(tmp_path: Path, quota: str, counted: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
    assert cores(tmp_path) == counted


def test_the_older_form_of_the_quota_counts_too(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path) == 3
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert cores(tmp_path) == 16


@pytest.mark.parametrize("text", ["", "nonsense", "0 0", "1 0"])
def test_what_cannot_be_read_limits_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cores(tmp_path) == 16
