"""The benchmark of what makes pictures, on tiny models that know nothing."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import generate, generate_from_drawings, generate_from_words, generate_turned
from benchmarks.generate import main
from benchmarks.generate_from_words import Amounts, draw_products, measure, recovered
from jobs.cards import CardShelf
from studio import TAG_VOCABULARY, VOCABULARY
from worker.networks.attribute_reader import AttributeReader as Reader
from worker.networks.cycle_gan import TurningNetworks
from worker.networks.pix2pix import TranslationNetwork
from worker.networks.vae import Vae
from worker.pipelines.attribute_reader import AttributeReader
from worker.training import attribute_reader, cycle_gan, pix2pix, vae
from worker.training.models import write_model
from worker.training.objectives import Told

SIDE_PX = 16
NAMES = ("kind", "background", "season")
ATTRIBUTES = {name: sorted(VOCABULARY[name]) for name in NAMES}
OF_TAGS = {name: sorted(TAG_VOCABULARY[name]) for name in ("mark", "paper")}
PAGE = Path(__file__).parents[2] / "docs" / "gallery" / "generate"
MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> CardShelf:
    folder = tmp_path_factory.mktemp("shelf")
    torch.manual_seed(0)
    sizes = {
        "reader": {"side_px": SIDE_PX, "width": 8, "features": 8, "attributes": ATTRIBUTES},
        "vae": {"side_px": SIDE_PX, "width": 8, "latent": 4, "code": 8, "attributes": ATTRIBUTES},
        "tag-reader": {"side_px": SIDE_PX, "width": 8, "features": 8, "attributes": OF_TAGS},
        "tag-vae": {"side_px": SIDE_PX, "width": 8, "latent": 4, "code": 8, "attributes": OF_TAGS},
        "drawn": {"width": 4, "depth": 3, "attributes": ATTRIBUTES},
        "winter": {"width": 4, "depth": 3, "attributes": {"season": ["any", "winter"]}},
    }
    for name, network, objective in (
        ("reader", Reader(**sizes["reader"]), attribute_reader.AttributeReaderObjective()),
        ("vae", Vae(**sizes["vae"]), vae.VaeObjective()),
        ("tag-reader", Reader(**sizes["tag-reader"]), attribute_reader.AttributeReaderObjective()),
        ("tag-vae", Vae(**sizes["tag-vae"]), vae.VaeObjective()),
        ("drawn", TranslationNetwork(**sizes["drawn"]), pix2pix.Pix2PixObjective()),
        ("winter", TurningNetworks(width=4, depth=3), cycle_gan.CycleGanObjective()),
    ):
        card = {**objective.card, "name": name, "version": "1", "architecture": objective.architecture}
        if isinstance(objective, Told):
            card["parameters"] = objective.parameters(ATTRIBUTES)
        write_model(folder / name, network.state_dict(), {**card, "licence": "MIT", "config": sizes[name]})
    return CardShelf(folder)


def test_every_model_that_makes_pictures_is_measured_and_shown(
    shelf: CardShelf, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate_from_words, "QUICK", Amounts(real=15, made=9, known=15))
    monkeypatch.setattr(generate_from_drawings, "QUICK_PICTURES", 3)
    monkeypatch.setattr(generate_turned, "QUICK_PRODUCTS", 3)
    monkeypatch.setattr(generate, "public_photos", lambda: [np.zeros((32, 32, 3), np.uint8)])
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "of-a-model-that-is-gone.webp").touch()
    assert main(["--quick", "--models", str(shelf.folder), "--gallery", str(tmp_path / "page")]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 <= figures["vae_accuracy"] <= 1
    assert figures["vae_accuracy"] == figures["best_attribute_accuracy"]
    assert {"vae_accuracy_kind", "vae_precision", "vae_recall", "vae_copies", "reader_accuracy"} <= figures.keys()
    assert {"tag_vae_accuracy_mark", "tag_vae_accuracy_paper", "tag_reader_accuracy"} <= figures.keys()
    assert figures["vae_pictures_per_second"] > 0
    assert figures["vae_painted_psnr_db"] > 0
    assert 0 <= figures["drawn_accuracy_kind"] <= 1
    assert figures["drawn_mask_iou_of_the_pictures"] > 0.3
    assert 0 <= figures["winter_turned_there"] <= 1
    assert figures["winter_product_psnr_db"] > 15, "before it has learned anything it changes little"
    assert figures["super_resolution_gain_db"] == 0.0
    check_page(tmp_path / "page")
    page = (tmp_path / "page" / "README.md").read_text(encoding="utf-8")
    assert "## From one kind to another" in page
    assert "## From pictures" not in page, "no model here makes such"


def test_without_a_model_that_reads_words_nothing_is_measured_by_them(shelf: CardShelf, tmp_path: Path) -> None:
    for name in ("vae", "drawn", "winter"):
        (tmp_path / name).symlink_to(shelf.folder / name)
    unread = CardShelf(tmp_path)
    for measured in (
        generate_from_words.measure_words(unread, quick=True),
        generate_from_drawings.measure_drawings(unread, quick=True),
        generate_turned.measure_turned(unread, quick=True),
    ):
        assert not measured.series


def test_a_folder_without_models_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--models", str(tmp_path)])
    assert f"there is no model in {tmp_path}" in capsys.readouterr().err


def check_page(folder: Path) -> None:
    page = (folder / "README.md").read_text(encoding="utf-8")
    examples = json.loads((folder / "figures.json").read_text(encoding="utf-8"))["examples"]
    shown = re.findall(r"!\[[^]]*\]\(([^)]+\.webp)\)", page)
    assert sorted(shown) == sorted(path.name for path in folder.glob("*.webp")) == sorted(examples)
    assert shown


def test_words_are_recovered_from_real_pictures_by_a_reader_that_knows_them() -> None:
    products = draw_products(12, seed=5, side=SIDE_PX)
    network = Reader(side_px=SIDE_PX, width=8, features=8, attributes=ATTRIBUTES)
    reader = AttributeReader(network, torch.device("cpu"))

    class Knowing(AttributeReader):
        def read(self, pictures: torch.Tensor) -> dict[str, list[str]]:
            return {name: [words[name] for words in products.words] for name in NAMES}

    right = {"": 1.0, **{f"_{name}": 1.0 for name in NAMES}}
    assert recovered(products, Knowing(network, torch.device("cpu"))) == right
    assert recovered(products, reader)["_kind"] < 0.5


def test_a_shelf_without_models_that_make_pictures_is_measured_too(shelf: CardShelf, tmp_path: Path) -> None:
    (tmp_path / "reader").symlink_to(shelf.folder / "reader")
    measured = measure(CardShelf(tmp_path), Amounts(real=6, made=6, known=0))
    assert measured.figures["best_attribute_accuracy"] == 0.0
    assert measured.series == {}


def test_the_page_that_is_published_holds_together_and_is_small() -> None:
    check_page(PAGE)
    assert sum(path.stat().st_size for path in PAGE.iterdir()) < MOST_BYTES
    for link in re.findall(r"\]\((?!http)([^)#]+)", (PAGE / "README.md").read_text(encoding="utf-8")):
        assert (PAGE / link).exists(), link
