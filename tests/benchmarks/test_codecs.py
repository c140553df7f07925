"""The benchmark of the codecs runs and says what it says it does; how fast anything is, no test asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import codecs
from tests.worker.drawn import draw_photos


def last_line(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    codecs.main(arguments)
    figures: dict[str, dict[str, object]] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return figures


def test_every_codec_is_measured_both_ways_beside_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    figures = last_line(capsys, "--quick")
    for way in ("decode_ms_per_megapixel", "encode_ms_per_megapixel"):
        for name in codecs.FORMATS:
            row = figures[way][name]
            assert isinstance(row, dict)
            assert row["restyle"] >= 0
            assert row["pillow"] >= 0
            assert (row["simplejpeg"] is not None) == (name == "jpeg")
            assert {"opencv", "vips"} < row.keys(), "what is not installed is null, and not left out"


def test_what_we_read_is_what_pillow_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert last_line(capsys, "--quick")["levels_from_pillow"] == dict.fromkeys(codecs.FORMATS, 0)


def test_a_folder_is_measured_and_settings_are_tried(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    draw_photos(tmp_path, 3)
    figures = last_line(capsys, "--photos", str(tmp_path), "--count", "2", "--settings")
    assert figures["pictures"] == 2
    assert figures["webp quality=90 method=4"]["bytes_per_pixel"]
