"""The learning curve of a run: one JSON line per iteration, TensorBoard's logs, and a picture.

The lines are the truth. When a run goes on, those behind its checkpoint are cut off, and the logs are written anew.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import structlog

from worker.training.curve_picture import draw_curve
from worker.training.state import replace_file

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

log = structlog.get_logger(__name__)

LINES = "curve.jsonl"
PICTURE = "curve.svg"
LOGS = "tensorboard"


class Curve:
    """The curve of one run, open for writing."""

    def __init__(self, folder: Path, keep_bytes: int) -> None:
        """Keep so much of the curve that is there: what belongs to the checkpoint."""
        self._folder = folder
        path = folder / LINES
        path.touch()
        self._file = path.open("r+", encoding="utf-8", newline="\n")
        os.truncate(path, keep_bytes)
        self._lines: list[dict[str, Any]] = [json.loads(line) for line in self._file]
        self._file.seek(keep_bytes)
        self._logs = _open_logs(folder / LOGS)
        for line in self._lines:
            self._log(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._logs is not None:
            self._logs.close()

    def add(self, iteration: int, figures: Mapping[str, float]) -> None:
        """Note what an iteration gave."""
        line = {"iteration": iteration, **figures}
        self._lines.append(line)
        self._file.write(json.dumps(line) + "\n")
        self._log(line)

    def flush(self) -> int:
        """Bring the lines to the disk and draw the picture. Return how many bytes the lines have."""
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._logs is not None:
            self._logs.flush()
        if self._lines:
            replace_file(self._folder / PICTURE, draw_curve(self._lines).encode())
        return self._file.tell()

    def _log(self, line: Mapping[str, Any]) -> None:
        if self._logs is None:
            return
        for name, value in line.items():
            if name != "iteration":
                self._logs.add_scalar(name, value, line["iteration"])


def _open_logs(folder: Path) -> SummaryWriter | None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        log.warning("tensorboard_left_out", remedy="pip install 'restyle[train]'")
        return None
    return SummaryWriter(str(folder))
