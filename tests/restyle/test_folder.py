from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from restyle.folder import LOCK, RUN_PREFIX, held
from restyle.processes import StackError


def test_two_stacks_cannot_hold_one_folder(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(StackError, match=rf"process {os.getpid()}\) holds"), held(tmp_path):
        pass


def test_a_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with held(tmp_path) as folder:
            assert folder.logs.is_dir()


def test_the_broker_s_socket_is_private_and_its_path_short(tmp_path: Path) -> None:
    long = tmp_path / ("d" * 90)
    with held(long) as folder:
        assert len(os.fsencode(folder.broker_socket)) < 107
        assert folder.broker_socket.parent.stat().st_mode & 0o777 == 0o700
    assert not folder.broker_socket.parent.exists()


def test_what_a_killed_stack_left_behind_is_removed(tmp_path: Path) -> None:
    left = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
    (left / "broker.sock").touch()
    (tmp_path / LOCK).write_text(json.dumps({"pid": 1, "run": str(left)}))

    with held(tmp_path):
        assert not left.exists()


def test_nothing_else_is_removed_however_the_lock_file_reads(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for text in (json.dumps({"run": str(mine)}), json.dumps([str(mine)]), "broken", ""):
        (tmp_path / LOCK).write_text(text)
        with held(tmp_path):
            assert mine.is_dir()


def test_a_fresh_start_removes_what_a_stack_keeps_and_nothing_else(tmp_path: Path) -> None:
    with held(tmp_path) as folder:
        folder.database.touch()
        (tmp_path / "restyle.db-wal").touch()
        (folder.storage / "styles").mkdir()
        (tmp_path / "holiday.jpg").touch()

    with held(tmp_path):
        assert folder.database.exists()
    with held(tmp_path, fresh=True):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday.jpg", "logs", LOCK, "storage"]
        assert not list(folder.storage.iterdir())


def test_a_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with held(tmp_path) as folder:
            folder.log("api").write_text(text)

    assert (folder.logs / "api.log").read_text() == "second"
    assert (folder.logs / "api.log.before").read_text() == "first"


def test_a_folder_that_cannot_be_made_is_a_readable_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StackError, match="cannot use"), held(tmp_path / "file" / "data"):
        pass
