"""`python -m worker.measure`: over the manifest of a job that has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import pictures
from worker import measure, teacher


def write_job(folder: Path, order: list[int]) -> Path:
    """A job's pictures and manifest: each original is a negative, and `order` says which picture each became."""
    lines = []
    for item, source in enumerate(order):
        (folder / f"{item}.png").write_bytes(pictures.encoded(255 - pictures.pixels(item), "PNG"))
        (folder / f"out-{item}.png").write_bytes(pictures.png(source))
        key, output = (f"file://{folder}/{name}.png" for name in (item, f"out-{item}"))
        lines.append({"item": item, "key": key, "output_key": output, "state": "succeeded"})
    lines.append({"item": len(order), "key": f"file://{folder}/gone.png", "output_key": None, "state": "failed"})
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return manifest


def test_every_picture_is_asked_which_original_it_is_nearest_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure.main([str(write_job(tmp_path, [0, 1, 3, 2, 4]))]) == 0
    *items, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [item["nearest"] for item in items] == [0, 1, 3, 2, 4]
    assert last == {"items": 5, "taken_for_another": [2, 3]}
    assert measure.main([str(tmp_path / "manifest.jsonl"), "--limit", "2"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"items": 2, "taken_for_another": []}


def test_what_is_missing_is_named_and_nothing_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "PACKAGE", "no_such_package")
    assert measure.main([str(write_job(tmp_path, [0])), "--measure", "perceptual"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "restyle[teacher]" in said.err
