"""`restyle models` and its neighbours, as a person types them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cards import BUILT_IN
from restyle.__main__ import run
from tests.segmenters import add_segmenter

ROOT = Path(__file__).parents[2]


def test_models_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    names = {json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()}
    assert {"reference-grade", "unchanged"} <= names
    assert run(["models", "list"]) == 0
    assert "reference-grade" in capsys.readouterr().out
    assert run(["models", "show", "reference-grade"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["seed"] == 0
    assert run(["models", "show", "nobody"]) == 2


def test_weights_that_are_not_those_of_the_card_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(BUILT_IN, tmp_path / "models")
    given = ["models", "check", "--models-dir", str(tmp_path / "models")]
    assert run(given) == 0
    with (tmp_path / "models" / "reference-grade" / "weights.safetensors").open("ab") as weights:
        weights.write(b"\0")
    assert run(given) == 1
    assert "weights.safetensors is not what its card names" in capsys.readouterr().out
    finder = add_segmenter(tmp_path / "models")
    run(given)
    assert "finder: as its card says" in capsys.readouterr().out
    assert run(["models", "show", "finder", *given[2:]]) == 0
    assert json.loads(capsys.readouterr().out)["operation"] == "segment"
    (finder / "weights.onnx").write_bytes(b"another")
    run(given)
    assert "weights.onnx is not what its card names" in capsys.readouterr().out
    (tmp_path / "models" / "reference-grade" / "weights.safetensors").unlink()
    assert run(given) == 1
    assert "reference-grade: there is no " in capsys.readouterr().out


def test_what_needs_torch_runs_as_the_workers_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "restyle", "evaluate", "nobody", "--photos", str(tmp_path)]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "model is 'nobody': give a folder with a model.json, or one of " in ended.stderr
