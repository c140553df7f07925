"""The data folder of an embedded stack: one stack at a time, and what a crashed one left is cleaned up."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from restyle.processes import StackError

LOCK = "stack.lock"
RUN_PREFIX = "restyle-run-"


class DataFolder:
    """Where an embedded stack keeps its database, storage and logs."""

    def __init__(self, path: Path, run: Path) -> None:
        self.path = path
        self.database = path / "restyle.db"
        self.storage = path / "storage"
        self.logs = path / "logs"
        self.broker_socket = run / "broker.sock"

    def log(self, name: str) -> Path:
        """Return where a process logs; the log of the run before is kept beside it."""
        path = self.logs / f"{name}.log"
        if path.exists():
            path.replace(path.with_suffix(".log.before"))
        path.touch()
        return path


@contextmanager
def held(path: Path, *, fresh: bool = False) -> Iterator[DataFolder]:
    """Hold a data folder while the block runs. `fresh` empties it first, if it is one of ours.

    Raises:
        StackError: another stack holds it, or it cannot be made.

    """
    path = path.absolute()
    with _locked(path) as lock:
        _remove_run_of(lock)
        if fresh:
            _empty(path)
        # A socket's path may have at most 107 bytes, so it lies in a private folder of the system's, never in the data
        # folder, whose path may be any length and whose file system may know no sockets.
        run = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
        try:
            _note(lock, run)
            folder = DataFolder(path, run)
            for part in (folder.storage, folder.logs):
                part.mkdir(exist_ok=True)
            yield folder
        finally:
            shutil.rmtree(run, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[TextIO]:
    """Hold the lock file. The kernel lets go of it when this process ends, however it ends."""
    import fcntl  # Unix only, as the stack is; the other commands run everywhere

    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise StackError(f"cannot use {path} as data folder: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _noted(lock).get("pid", "unknown")
            raise StackError(
                f"another stack (process {holder}) holds {path}: stop it, or name another folder with --data"
            ) from None
        yield lock


def _note(lock: TextIO, run: Path) -> None:
    lock.seek(0)
    lock.truncate()
    json.dump({"pid": os.getpid(), "run": str(run)}, lock)
    lock.flush()


def _noted(lock: TextIO) -> dict[str, object]:
    lock.seek(0)
    try:
        noted = json.load(lock)
    except ValueError:
        return {}
    return noted if isinstance(noted, dict) else {}


def _remove_run_of(lock: TextIO) -> None:
    """Remove the private folder of a stack that was killed."""
    run = Path(str(_noted(lock).get("run", "")))
    if run.name.startswith(RUN_PREFIX) and run.parent == Path(tempfile.gettempdir()) and not run.is_symlink():
        shutil.rmtree(run, ignore_errors=True)


def _empty(path: Path) -> None:
    """Remove what a stack keeps, and nothing else."""
    folder = DataFolder(path, path)
    for part in (folder.storage, folder.logs):
        shutil.rmtree(part, ignore_errors=True)
    for file in path.glob(f"{folder.database.name}*"):
        file.unlink()
