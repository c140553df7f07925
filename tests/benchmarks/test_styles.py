"""The benchmark of the restyling models, on a few drawn pictures."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.styles import delta_e, find_pictures, main, psnr, read_pictures, unseen
from tests.worker.drawn import draw_photos

MODELS = ("reference_grade", "reinhard", "monge_kantorovich", "unchanged")


def test_the_last_line_is_one_object_with_every_models_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_photos(tmp_path / "photos", 6)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    draw_photos(tmp_path / "references", 2)
    assert main(["--photos", str(tmp_path / "photos"), "--references", str(tmp_path / "references"), "--quick"]) == 0
    out, err = capsys.readouterr()
    figures = json.loads(out.splitlines()[-1])
    for name in MODELS:
        for key in ("psnr_db", "delta_e", "delta_e2000", "same_psnr_db", "pictures_per_second"):
            assert figures[f"{name}_{key}"] > 0, key
        for key in ("structure", "sharpness", "style_distance"):
            assert figures[f"{name}_{key}"] > 0, key
    assert figures["pairs"] == 3
    assert (figures["unchanged_structure"], figures["unchanged_colour_shift"]) == (1, 0)
    assert figures["monge_kantorovich_style_distance"] < figures["unchanged_style_distance"]
    # Against the answer's own photo the linear map is nearly exact: the protocol measures what it says.
    assert figures["monge_kantorovich_same_psnr_db"] > figures["unchanged_same_psnr_db"] + 3
    assert figures["unchanged_psnr_db"] == figures["unchanged_same_psnr_db"]
    assert "skipped broken.jpg" in err


def test_too_few_pictures_are_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_photos(tmp_path / "photos", 1)
    assert main(["--photos", str(tmp_path / "photos"), "--references", str(tmp_path), "--quick"]) == 2
    assert "found 1 photos and 1 references" in capsys.readouterr().err


def test_a_manifest_leaves_renders_out(tmp_path: Path) -> None:
    draw_photos(tmp_path / "images", 3)
    rows = ["image_key,nature", "images/000.png,photo", "images/001.png,mockup-render", "images/002.png,photo"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    assert [p.name for p in find_pictures(tmp_path)] == ["000.png", "002.png"]
    (tmp_path / "manifest.csv").write_text("key,rights\nimages/000.png,CC0\n")  # says nothing about nature
    assert len(find_pictures(tmp_path)) == 3


def test_photos_that_were_trained_on_are_left_out(tmp_path: Path) -> None:
    first, second, third = draw_photos(tmp_path / "photos", 3)
    (tmp_path / "training" / "deeper").mkdir(parents=True)
    shutil.copy(second, tmp_path / "training" / "deeper" / "other-name.png")
    assert unseen([first, second, third], [tmp_path / "training"]) == [first, third]
    assert unseen([first], []) == [first]


def test_a_transparent_picture_stands_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 10), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    (read,) = read_pictures([tmp_path / "clear.png"], 5)
    assert read.shape == (3, 10, 20)
    assert (read == 255).all()


def test_measures_are_what_they_are_called() -> None:
    grey, lighter = (torch.full((3, 8, 8), value, dtype=torch.uint8) for value in (100, 110))
    assert psnr(lighter, grey) == pytest.approx(28.13, abs=0.01)  # 20 log10(255 / 10)
    assert delta_e(grey, grey) == (0, 0)
    cie76, cie2000 = delta_e(lighter, grey)
    assert cie76 == pytest.approx(4.1, abs=0.2)
    assert 0 < cie2000 < cie76
