"""The sample catalogue as files: what a newcomer's first job reads."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio import Sample, render, sample_catalogue, write_sample_catalogue, write_sample_style


@pytest.fixture(scope="module")
def few() -> list[Sample]:
    """A picture of each format, one of them a cut-out, and small: the whole catalogue takes ten seconds."""
    wanted = ("mugs/mug-terracotta.jpg", "vases/vase-rust.png", "toys/beach-ball.webp")
    return [
        Sample(product_id=s.product_id, key=s.key, title=s.title, product=s.product, size=(72, 64))
        for s in sample_catalogue()
        if s.key in wanted
    ]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_sample_is_a_catalogue_of_many_kinds_sizes_and_formats():
    samples = sample_catalogue()

    assert 28 <= len(samples) <= 32
    assert len({sample.product.kind for sample in samples}) >= 8
    assert len({sample.size for sample in samples}) >= 4
    assert {sample.format for sample in samples} == {"JPEG", "PNG", "WEBP"}
    assert sum(sample.product.background == "white" for sample in samples) >= 4
    assert sum(sample.product.background == "none" for sample in samples) >= 2


def test_keys_ids_and_products_of_the_sample_are_unique():
    samples = sample_catalogue()

    assert len({sample.key.casefold() for sample in samples}) == len(samples)
    assert len({sample.product_id for sample in samples}) == len(samples)
    assert len({sample.product for sample in samples}) == len(samples)
    assert all(sample.key.count("/") == 1 for sample in samples)


def test_a_cut_out_is_a_png_because_jpeg_has_no_alpha():
    cut_outs = [sample for sample in sample_catalogue() if sample.product.background == "none"]

    assert all(sample.format == "PNG" for sample in cut_outs)


def test_files_hold_what_their_names_and_rows_say(tmp_path: Path, few: list[Sample]):
    count = write_sample_catalogue(tmp_path / "new" / "catalogue", samples=few)

    assert count == len(few) == 3
    for sample in few:
        with Image.open(tmp_path / "new" / "catalogue" / sample.key) as picture:
            assert (picture.format, picture.size) == (sample.format, sample.size)
            assert picture.mode == ("RGBA" if sample.product.background == "none" else "RGB")


def test_the_alpha_of_a_cut_out_is_the_exact_mask(tmp_path: Path, few: list[Sample]):
    write_sample_catalogue(tmp_path, samples=few)
    sample = next(sample for sample in few if sample.product.background == "none")
    mask = render(sample.product, width=72, height=64).mask

    with Image.open(tmp_path / sample.key) as picture:
        assert np.array_equal(np.asarray(picture)[:, :, 3], mask)


def test_the_manifest_names_every_picture_with_its_attributes(tmp_path: Path, few: list[Sample]):
    write_sample_catalogue(tmp_path, samples=few)

    with (tmp_path / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == [sample.key for sample in few]
    assert rows[0]["product_id"] == few[0].product_id
    assert (rows[0]["kind"], rows[0]["colour"], rows[0]["material"]) == ("mug", "terracotta", "ceramic")
    assert rows[0]["title"] == "Dipped mug, terracotta"
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.csv", "mugs", "toys", "vases"}


def test_writing_again_gives_the_same_bytes_and_mends_a_broken_file(tmp_path: Path, few: list[Sample]):
    write_sample_catalogue(tmp_path, samples=few)
    first = digests(tmp_path)
    (tmp_path / "mugs" / "mug-terracotta.jpg").write_bytes(b"half a")

    write_sample_catalogue(tmp_path, samples=few)

    assert digests(tmp_path) == first


def test_progress_counts_every_picture_once(tmp_path: Path, few: list[Sample]):
    told: list[tuple[int, int]] = []

    write_sample_catalogue(tmp_path, lambda done, total: told.append((done, total)), samples=few)

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_picture_that_cannot_be_put_in_place_leaves_no_rubbish_and_no_manifest(tmp_path: Path, few: list[Sample]):
    (tmp_path / few[1].key / "in the way").mkdir(parents=True)

    with pytest.raises(OSError, match=Path(few[1].key).name):
        write_sample_catalogue(tmp_path, samples=few)

    assert list(digests(tmp_path)) == [few[0].key]


def test_the_style_is_warm_in_the_light_and_teal_in_the_shadow(tmp_path: Path):
    write_sample_style(tmp_path / "styles" / "style.jpg")

    with Image.open(tmp_path / "styles" / "style.jpg") as picture:
        assert picture.format == "JPEG"
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(float)
    brightness = pixels.mean(1)
    light, dark = (
        pixels[brightness >= np.quantile(brightness, 0.9)],
        pixels[brightness <= np.quantile(brightness, 0.1)],
    )
    assert light[:, 0].mean() > light[:, 2].mean() + 40
    assert dark[:, 2].mean() > dark[:, 0].mean() + 15
    assert dark[:, 1].mean() > dark[:, 0].mean() + 15


def test_the_style_has_the_same_bytes_every_time(tmp_path: Path):
    for name in ("one.jpg", "two.jpg"):
        write_sample_style(tmp_path / name)

    assert (tmp_path / "one.jpg").read_bytes() == (tmp_path / "two.jpg").read_bytes()
