"""The benchmark of what is made of pictures, on public photos: the built-in models do what is said of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.generate import main
from benchmarks.generate_from_pictures import STEP_PX, measure_pictures, public_photos, read_photos
from jobs.cards import CardShelf
from worker.networks.vgg import VggFeatures


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_built_in_models_beat_what_libraries_have() -> None:
    measured = measure_pictures(CardShelf(), public_photos())
    figures = {name: float(value) for name, value in measured.figures.items()}
    assert figures["photos"] == len(public_photos())
    assert figures["super_resolution_gain_db"] == figures["super_resolution_2x_gain_db"] > 1.2
    assert figures["super_resolution_4x_gain_db"] > 0.5
    assert measured.series.keys() == {"super-resolution-2x", "super-resolution-4x", "inpainting"}
    for scale in (2, 4):
        ours = figures[f"super_resolution_{scale}x_model_psnr_db"]
        assert ours > max(figures[f"super_resolution_{scale}x_{way}_psnr_db"] for way in ("lanczos", "opencv_lanczos"))
    ours = figures["inpainting_model_psnr_db"]
    assert ours > max(figures[f"inpainting_{way}_psnr_db"] for way in ("telea", "navier_stokes"))


def test_where_a_trained_eye_is_installed_it_looks_too() -> None:
    torch.manual_seed(3)
    photo = public_photos()[1][:128, :192]
    measured = measure_pictures(CardShelf(), [photo], VggFeatures(narrower=8).eval())
    head, _, *rows = measured.table
    for row in rows:
        figures = dict(zip(head, row, strict=True))
        key = str(figures["model"]).strip("`").replace("-", "_")
        for measure, best in (("perceptual", min), ("ssim", max)):
            ways = [
                float(value)
                for name, value in measured.figures.items()
                if name.startswith(f"{key}_") and name.endswith(f"_{measure}") and name != f"{key}_model_{measure}"
            ]
            assert len(ways) > 1
            assert float(figures[f"library_{measure}"]) == best(ways)
        assert 0 < float(figures["model_perceptual"]) < 1


def test_photos_that_cannot_be_read_are_left_out_and_none_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert main(["--photos", str(tmp_path)]) == 2
    assert "no photo" in capsys.readouterr().err
    Image.new("RGB", (1030, 701)).save(tmp_path / "large.png")
    (photo,) = read_photos(sorted(tmp_path.iterdir()), 5)
    assert photo.shape == (348, 512, 3)
    assert photo.shape[0] % STEP_PX == 0
