"""How much memory is left, as the kernel's files say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker import memory

GIB = 1 << 30


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GiB left, and the root of its control groups."""
    (tmp_path / "meminfo").write_text(f"MemTotal: 16777216 kB\nMemAvailable:    {8 * GIB // 1024} kB\n")
    (tmp_path / "cgroup").write_text("0::/\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "OWN_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    return tmp_path


def limit(folder: Path, most: str, used: int, idle_files: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {idle_files}\nactive_file 7\n")


def test_without_a_limit_it_is_what_the_machine_has_left(kernel: Path) -> None:
    assert memory.available_bytes() == 8 * GIB
    limit(kernel, "max", GIB)
    assert memory.available_bytes() == 8 * GIB


def test_a_container_has_what_its_limit_leaves_and_files_in_memory_do_not_count(kernel: Path) -> None:
    limit(kernel, str(4 * GIB), used=3 * GIB, idle_files=GIB)
    assert memory.available_bytes() == 2 * GIB


def test_a_service_has_what_the_limit_of_its_own_group_leaves(kernel: Path) -> None:
    (kernel / "cgroup").write_text("0::/system.slice/restyle.service\n")
    limit(kernel / "system.slice" / "restyle.service", str(2 * GIB), used=GIB)
    assert memory.available_bytes() == GIB


def test_where_nobody_says_nothing_is_known(kernel: Path) -> None:
    for file in kernel.iterdir():
        file.unlink()
    assert memory.available_bytes() is None
