"""The benchmark of the models and the gallery, on a few drawn pictures."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks import gallery, styles
from benchmarks.style_pictures import Photo, find_pictures, read_photos, unseen
from benchmarks.style_protocols import load_models
from benchmarks.styles import Amounts, main, measure
from jobs.cards import BUILT_IN, CardShelf
from tests.worker.drawn import draw_photos, draw_product
from worker.checkpoints import FORMULAS
from worker.pipelines.base import Batch, Parameters
from worker.training.recovery import nearness

MODELS = ("reference_grade", "reinhard", "monge_kantorovich", "unchanged")
PAGE = Path(__file__).parents[2] / "docs" / "gallery"
MOST_BYTES = 600_000


def test_the_last_line_is_one_object_with_every_models_figures_and_the_page_says_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    products = gallery.draw_products(2)
    monkeypatch.setattr(gallery, "draw_products", lambda count: products)
    monkeypatch.setattr(styles, "QUICK", Amounts(pairs=3, restylings=4, speed_runs=1, seconds=60))
    draw_photos(tmp_path / "photos", 6)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    draw_photos(tmp_path / "references", 2)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "of-a-model-that-is-gone.webp").touch()
    folders = ["--photos", str(tmp_path / "photos"), "--references", str(tmp_path / "references")]
    assert main([*folders, "--quick", "--device", "cpu", "--gallery", str(tmp_path / "page")]) == 0
    out, err = capsys.readouterr()
    figures = json.loads(out.splitlines()[-1])
    for name in MODELS:
        for key in (
            "psnr_db",
            "delta_e",
            "delta_e2000",
            "same_psnr_db",
            "of_5_psnr_db",
            "structure",
            "sharpness",
            "style_distance",
        ):
            assert figures[f"{name}_{key}"] > 0, key
        for side in (512, 1024):
            assert figures[f"{name}_pictures_per_second_{side}"] > 0
            assert (figures.get(f"{name}_rate_to_pillow_{side}", 0) > 0) is (name != "unchanged")
    assert figures["pairs"] == 3
    assert (figures["unchanged_structure"], figures["unchanged_colour_shift"]) == (1, 0)
    assert figures["painter_restylings"] == figures["masks"]  # it is to know where the background is
    assert figures["painter_pictures_per_second_512"] > 0
    assert figures["monge_kantorovich_style_distance"] < figures["unchanged_style_distance"]
    # Against the answer's own photo the linear map is nearly exact: the protocol measures what it says.
    assert figures["monge_kantorovich_same_psnr_db"] > figures["unchanged_same_psnr_db"] + 3
    assert figures["unchanged_psnr_db"] == figures["unchanged_same_psnr_db"]
    assert "skipped broken.jpg" in err

    assert figures == json.loads((tmp_path / "page" / "figures.json").read_text())["figures"]
    row = cells_of(tmp_path / "page", "reference-grade")
    assert row[1:4] == [str(figures[f"reference_grade_{key}"]) for key in ("psnr_db", "delta_e", "delta_e2000")]
    check_page(tmp_path / "page")


def cells_of(folder: Path, model: str) -> list[str]:
    """The row of the page's table that is about a model."""
    (line,) = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith(f"| `{model}` |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def check_page(folder: Path) -> None:
    """Every picture is on the page with its own figures, and the page names none that is not there."""
    page = (folder / "README.md").read_text()
    content = json.loads((folder / "figures.json").read_text())
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)\n\n\*(\w+)\* · (.+)", page)
    assert sorted(file for file, _, _ in shown) == sorted(path.name for path in folder.glob("*.webp"))
    for file, rank, caption in shown:
        example = content["examples"][file]
        assert f"-{rank}.webp" in file
        assert caption.startswith(example.pop("title"))
        assert [float(value) for value in re.findall(r": (-?[\d.]+)(?: ·|$)", caption)] == list(example.values())
        with Image.open(folder / file) as picture:
            assert picture.height == gallery.TILE_PX


def test_the_page_that_is_published_holds_together_and_is_small() -> None:
    check_page(PAGE)
    assert sum(path.stat().st_size for path in PAGE.iterdir()) < MOST_BYTES
    for link in re.findall(r"\]\((?!http)([^)#]+)", (PAGE / "README.md").read_text()):
        assert (PAGE / link).exists(), link
    figures = json.loads((PAGE / "figures.json").read_text())["figures"]
    names = re.findall(r"^\| `([^`]+)` \|", (PAGE / "README.md").read_text(), re.MULTILINE)
    assert names
    for name in names:
        measured = [str(value) for key, value in figures.items() if key.startswith(f"{name.replace('-', '_')}_")]
        assert set(cells_of(PAGE, name)[1:]) <= {*measured, "-"}


class Painter:
    """A model that is no colour table and knows its look itself: it blurs outside of the product."""

    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> None:
        return None

    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        blurred = torch.nn.functional.avg_pool2d(batch.images.float(), 9, 1, 4).to(torch.uint8)
        return blurred if batch.masks is None else torch.where(batch.masks >= 128, batch.images, blurred)


def test_a_model_that_paints_is_measured_by_what_its_card_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(BUILT_IN / "unchanged", tmp_path / "painter")
    card = json.loads((tmp_path / "painter" / "model.json").read_text())
    manner = {"type": "string", "description": "", "default": "reeds", "enum": ["reeds", "stones"]}
    card |= {"name": "painter", "architecture": "painter", "tables": False, "acts_on": "background"}
    card["parameters"] = {"painting": manner}
    (tmp_path / "painter" / "model.json").write_text(json.dumps(card))
    shutil.copytree(BUILT_IN / "reference-grade", tmp_path / "without-weights")
    (tmp_path / "without-weights" / "weights.safetensors").unlink()
    (tmp_path / "without-weights" / "model.json").write_text(
        (BUILT_IN / "reference-grade" / "model.json").read_text().replace('"reference-grade"', '"without-weights"', 1)
    )
    monkeypatch.setitem(FORMULAS, "painter", lambda _: Painter())
    picture, mask = draw_product(96)
    photos = [Photo(name="ball", picture=picture, mask=mask)] * 2
    photos.append(Photo(name="ball", picture=picture))  # nobody knows where the product is: no recipe would run
    amounts = Amounts(pairs=1, restylings=3, speed_runs=1, seconds=60)
    figures = measure(CardShelf(tmp_path), photos, [picture], amounts, torch.device("cpu"))
    assert figures["painter_structure_inside"] == pytest.approx(1, abs=0.02)  # its very rim has blurred neighbours
    assert float(figures["painter_structure_outside"]) < 0.99
    assert float(figures["painter_pictures_per_second_1024"]) > 0
    assert figures["painter_restylings"] == figures["masks"] == 2
    assert not {"painter_psnr_db", "painter_style_distance", "painter_rate_to_pillow_512"} & figures.keys()
    assert not any(key.startswith("without_weights") for key in figures)
    (series,) = gallery.series_of(load_models(CardShelf(tmp_path))[0], photos[:2], [], {"ball": picture})
    assert len(series.examples[0].pictures) == 2
    assert [example.title for example in series.examples] == ["ball, reeds", "ball, stones"]

    nothing = Amounts(pairs=1, restylings=2, speed_runs=1, seconds=1e-9)
    figures = measure(CardShelf(tmp_path), photos, [picture], nothing, torch.device("cpu"))
    assert figures["painter_restylings"] == 1  # a slow model is measured on few pictures, and its rates left out
    assert "painter_pictures_per_second_512" not in figures


def test_examples_are_the_best_the_middle_and_the_worst_of_all() -> None:
    def example(value: float) -> gallery.Example:
        return gallery.Example(title=str(value), pictures=(), figures={"delta_e2000": value})

    series = gallery.Series(
        name="grade",
        heading="",
        beside="",
        measure="delta_e2000",
        best=min,
        examples=[example(v) for v in (3, 9, 1, 5, 7)],
    )
    assert [(rank, found.title) for rank, found in series.ranked()] == [("best", "1"), ("typical", "5"), ("worst", "9")]


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


def test_a_transparent_picture_stands_on_white_and_is_its_own_mask(tmp_path: Path) -> None:
    image = Image.new("RGBA", (20, 10), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 10, 10))
    image.save(tmp_path / "half.png")
    (read,) = read_photos([tmp_path / "half.png"], 5, masks=1)
    assert read.picture.shape == (3, 10, 20)
    assert (read.picture[:, :, 10:] == 255).all()
    assert read.mask is not None
    assert torch.equal(read.mask[0] == 255, read.picture[0] == 0)
    (unmasked,) = read_photos([tmp_path / "half.png"], 5)
    assert unmasked.mask is None


def test_a_product_on_a_plain_background_has_a_mask(tmp_path: Path) -> None:
    picture, mask = draw_product(128)
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / "ball.png")
    (read,) = read_photos([tmp_path / "ball.png"], 5, masks=1)
    assert read.mask is not None
    found, wanted = read.mask >= 128, mask >= 128
    assert (found & wanted).sum() > 0.95 * (found | wanted).sum()


def test_nearness_is_what_it_is_called() -> None:
    grey, lighter = (torch.full((3, 8, 8), value, dtype=torch.uint8) for value in (100, 110))
    found = nearness(lighter, grey)
    assert found["psnr_db"] == pytest.approx(28.13, abs=0.01)  # 20 log10(255 / 10)
    assert found["delta_e"] == pytest.approx(4.1, abs=0.2)
    assert 0 < found["delta_e2000"] < found["delta_e"]
    assert nearness(grey, grey)["delta_e2000"] == 0
