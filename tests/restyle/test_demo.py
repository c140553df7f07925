"""The demo from the command line to the contact sheet, through real processes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from restyle.sources import PICTURES
from tests.restyle.watching import processes_with

pytestmark = pytest.mark.system

COLOURS = {"mugs/red.jpg": "#c03020", "mugs/green.png": "#209040", "lamp.webp": "#e0d8c8"}


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    folder = tmp_path / "my photos"
    for name, colour in COLOURS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        light = Image.linear_gradient("L").resize((320, 240)).convert("RGB")
        Image.blend(light, Image.new("RGB", (320, 240), colour), 0.6).save(path)
    Image.new("RGB", (200, 200), "#4060c0").save(tmp_path / "look.png")
    return folder


def demo(folder: Path, catalogue: Path, *options: str) -> subprocess.Popen[str]:
    style = catalogue.parent / "look.png"
    line = ["--catalogue", str(catalogue), "--style", str(style), "--model", "reinhard", "--folder", str(folder)]
    return subprocess.Popen(
        [sys.executable, "-m", "restyle", "demo", *line, *options], stderr=subprocess.PIPE, text=True
    )


def processes_of(folder: Path) -> dict[int, str]:
    return processes_with(f"sqlite:///{folder}/data/restyle.db")


def results_named_in(said: str) -> list[str]:
    found = re.search(r"^results +(.*)$", said, re.MULTILINE)
    assert found, said
    return sorted(
        path.stem for path in Path(found[1]).rglob("*") if path.suffix in PICTURES and "_restyle" not in path.parts
    )


def test_a_catalogue_is_restyled_and_shown_before_and_after_twice(tmp_path: Path, catalogue: Path) -> None:
    folder = tmp_path / "demo"
    with demo(folder, catalogue) as first:
        _, said = first.communicate(timeout=120)
    assert first.returncode == 0, said
    assert re.search(r"^3 +succeeded", said, re.MULTILINE), said
    assert results_named_in(said) == ["green", "lamp", "red"]
    assert (folder / "contact-sheet.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "contact-sheet.html").read_text().count("data:image/jpeg") == 6
    assert not (folder / "data").exists()

    (catalogue / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and then nothing")
    with demo(folder, catalogue, "--keep") as second:
        _, said = second.communicate(timeout=120)
    assert second.returncode == 3, said
    assert re.search(r"^3 +succeeded", said, re.MULTILINE), said
    assert re.search(r"^1 +failed", said, re.MULTILINE), said
    assert "broken.jpg" in (folder / "contact-sheet.html").read_text()
    assert (folder / "data" / "logs" / "worker.log").exists()
    assert processes_of(folder) == {}


def test_ctrl_c_stops_everything(tmp_path: Path, catalogue: Path) -> None:
    folder = tmp_path / "demo"
    with demo(folder, catalogue) as interrupted:
        assert interrupted.stderr is not None
        assert "starting" in interrupted.stderr.readline()
        interrupted.send_signal(signal.SIGINT)
        _, said = interrupted.communicate(timeout=60)

    assert interrupted.returncode == 130
    assert "stopped, and everything that was started" in said
    assert "Traceback" not in said
    assert processes_of(folder) == {}
