"""Judges a folder of awkward files by its manifest, one file at a time.

RESTYLE_AWKWARD_FILES names the folder; its manifest.csv has the columns file, expected, expected_width and
expected_height. Without it the same judgement runs over files made here.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

from jobs.errors import ErrorCode, ImageRejected
from tests.worker import picture_files as files
from worker.images import PictureLimits, decode

LIMIT_CODES = {
    ErrorCode.TOO_LARGE,
    ErrorCode.TOO_MANY_PIXELS,
    ErrorCode.SIDE_TOO_LONG,
    ErrorCode.RATIO_TOO_EXTREME,
}
REFUSALS: dict[str, set[ErrorCode]] = {
    "process": set(),
    "process-or-unsupported": {ErrorCode.UNSUPPORTED_FORMAT},
    "process-or-limit": LIMIT_CODES,
    "either": set(ErrorCode) - {ErrorCode.INTERNAL_ERROR},
    "reject": set(ErrorCode) - {ErrorCode.INTERNAL_ERROR},
}
FOLDER = Path(os.environ.get("RESTYLE_AWKWARD_FILES", ""))
MANIFEST = FOLDER / "manifest.csv"


def rows() -> list[dict[str, str]]:
    if "RESTYLE_AWKWARD_FILES" not in os.environ:
        return []
    with MANIFEST.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def outcome(data: bytes) -> str | tuple[int, int]:
    """The size of the picture, or the code of its refusal."""
    try:
        picture = decode(data, PictureLimits())
    except ImageRejected as refused:
        return str(refused.code)
    return picture.width, picture.height


def fault(row: dict[str, str], got: str | tuple[int, int]) -> str | None:
    """Say what is wrong with an outcome, or None."""
    expected = row["expected"]
    if isinstance(got, str):
        return None if got in REFUSALS[expected] else f"refused as {got}; expected {expected}"
    if expected == "reject":
        return f"decoded to {got}; expected a refusal"
    width, height = row["expected_width"], row["expected_height"]
    wrong = bool(width) and (int(width), int(height)) != got
    return f"decoded to {got}; expected {width} x {height}" if wrong else None


def row(expected: str, width: str = "", height: str = "") -> dict[str, str]:
    return {"expected": expected, "expected_width": width, "expected_height": height}


def test_awkward_files_made_here_are_judged_as_their_kind_is() -> None:
    each = files.one_of_each()
    assert fault(row("process", "48", "32"), outcome(each["png"])) is None
    assert fault(row("process-or-unsupported", "48", "32"), outcome(each["gif"])) is None
    assert fault(row("process-or-unsupported"), outcome(b"\0\0\1\0\1\0\x10\x10" + bytes(40))) is None
    assert fault(row("process-or-limit"), outcome(files.bomb_png(200, 1))) is None
    assert fault(row("reject"), outcome(files.bomb_png())) is None
    assert fault(row("either"), outcome(each["jpeg"][:300])) is None


def test_the_judgement_finds_faults() -> None:
    whole = outcome(files.one_of_each()["png"])
    assert fault(row("reject"), whole)
    assert fault(row("process", "32", "48"), whole)
    assert fault(row("process"), outcome(b""))
    assert fault(row("process-or-unsupported"), outcome(files.bomb_png()))


def test_every_file_of_the_folder_ends_as_its_manifest_expects() -> None:
    """One test for all files, so that a run without a folder skips nothing; it names every fault."""
    faults = {
        entry["file"]: wrong
        for entry in rows()
        if (wrong := fault(entry, outcome((FOLDER / entry["file"]).read_bytes())))
    }
    assert not faults
