"""A drawn set: the same bytes however it was drawn, a row and four files a picture, nothing half-written."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio import draw, write_set
from studio.dataset import DEPTH_STEPS, LAYERS, OtherSet, depth_steps

SIZE = 32


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    write_set(folder, count=20, size=SIZE, seed=4)
    return folder


def test_the_manifest_has_one_row_per_picture_and_a_file_for_each_layer(whole: Path):
    with (whole / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert [row["number"] for row in rows] == [str(number) for number in range(20)]
    assert set(digests(whole)) == {row[layer] for row in rows for layer in LAYERS} | {"manifest.csv", "set.json"}
    for number in (0, 13):
        picture = draw(number, seed=4, size=SIZE)
        row = rows[number]
        assert {name: row[name] for name in picture.product.attributes} == picture.product.attributes
        assert row["caption"] == picture.caption


def test_files_hold_what_is_drawn_in_memory(whole: Path):
    rendering = draw(7, seed=4, size=SIZE).rendering
    layers = {layer: np.asarray(Image.open(whole / layer / "000007.png")) for layer in LAYERS}

    assert np.array_equal(layers["pictures"], rendering.pixels)
    assert np.array_equal(layers["masks"], rendering.mask)
    assert np.array_equal(layers["edges"], rendering.edges)
    assert layers["depth"].dtype == np.uint16
    there = layers["depth"] > 0
    assert np.array_equal(there, rendering.mask > 0)
    assert np.abs(layers["depth"][there] / DEPTH_STEPS - rendering.depth[there]).max() <= 0.5 / DEPTH_STEPS + 1e-6


def test_depth_too_far_for_a_file_stops_at_its_last_step():
    assert depth_steps(np.array([[np.inf, 1.0, 99.0]], np.float32)).tolist() == [[0, DEPTH_STEPS, 65535]]


def test_two_processes_draw_the_same_bytes_as_one(whole: Path, tmp_path: Path):
    told: list[tuple[int, int]] = []
    write_set(tmp_path, count=20, size=SIZE, seed=4, processes=2, on_progress=lambda *both: told.append(both))

    assert digests(tmp_path) == digests(whole)
    assert told == [(done, 20) for done in range(1, 21)]


def test_a_kill_leaves_no_half_written_file_and_the_set_goes_on(whole: Path, tmp_path: Path):
    command = [sys.executable, "-m", "studio", str(tmp_path), "--size", str(SIZE), "--seed", "4", "--processes", "2"]
    with subprocess.Popen([*command, "--count", "2000"], stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        assert running.stderr.read(1), "the first report"
        os.kill(running.pid, signal.SIGKILL)
        running.stderr.read()  # to its end: its processes hold it too, and end with it
    finished = digests(whole)
    left = {name: digest for name, digest in digests(tmp_path).items() if not name.startswith(".unfinished/")}

    assert len(left) > 4 * 16
    assert "manifest.csv" not in left
    assert all(finished.get(name, digest) == digest for name, digest in left.items())
    for name in left.keys() - {"set.json"}:
        Image.open(tmp_path / name).load()
    write_set(tmp_path, count=20, size=SIZE, seed=4)
    assert finished.items() <= digests(tmp_path).items()
    assert not (tmp_path / ".unfinished").exists()


def test_a_set_can_grow_and_keeps_what_is_there(whole: Path, tmp_path: Path):
    write_set(tmp_path, count=2, size=SIZE, seed=4)
    written = (tmp_path / "pictures" / "000001.png").stat().st_mtime_ns
    write_set(tmp_path, count=3, size=SIZE, seed=4)

    assert (tmp_path / "pictures" / "000001.png").stat().st_mtime_ns == written
    both = digests(whole)
    assert all(digest == both[name] for name, digest in digests(tmp_path).items() if name != "manifest.csv")
    assert len((tmp_path / "manifest.csv").read_text(encoding="utf-8").splitlines()) == 4


def test_a_folder_of_another_set_is_refused(tmp_path: Path):
    write_set(tmp_path, count=1, size=SIZE, seed=4)
    before = digests(tmp_path)

    with pytest.raises(OtherSet, match="choose another folder"):
        write_set(tmp_path, count=1, size=SIZE, seed=5)
    assert digests(tmp_path) == before


def test_pictures_are_numbered_from_0():
    with pytest.raises(ValueError, match="numbered from 0; got -1"):
        draw(-1, seed=0, size=SIZE)


def test_the_command_says_what_it_does_not_take(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "studio", str(tmp_path), "--count", "3", "--size", "8"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--size at least 16" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_log_hears_of_thirty_steps_at_most(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "studio", str(tmp_path), "--count", "40", "--size", "16"], capture_output=True, text=True
    )
    *steps, end = done.stderr.splitlines()
    assert len(steps) == 30
    assert steps[-1].endswith("] 40/40")
    assert end.startswith(f"40 pictures in {tmp_path}, drawn in ")
