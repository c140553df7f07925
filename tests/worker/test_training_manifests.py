"""What training takes from the manifest of a folder: words and sidecars, of drawn sets and of real catalogues."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.errors import InvalidRequest
from jobs.locations import Location
from jobs.storage import Storages
from studio import VOCABULARY, draw, write_set
from tests.worker.drawn import draw_photos
from worker.training.manifests import MAX_WORDS, read_manifests, vocabulary_of
from worker.training.photos import PhotoSet, load_photos

PICTURES = 6
SEED = 3


@pytest.fixture(scope="module")
def studio_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifests") / "studio"
    write_set(folder, count=PICTURES, size=32, seed=SEED)
    return folder


def read(folder: Path, attributes: list[str], sidecars: list[str] | None = None) -> PhotoSet:
    described = read_manifests([place_of(folder)], Storages(), attributes=attributes, sidecars=sidecars or [])
    return load_photos(
        described,
        Storages(),
        side=32,
        at_least=2,
        vocabulary=vocabulary_of(described, attributes),
        sidecars=sidecars or [],
    )


def place_of(folder: Path) -> Location:
    return Location.parse(f"file://{folder}/")


def test_a_drawn_set_comes_with_its_words_masks_depth_and_edges(studio_set: Path) -> None:
    photos = read(studio_set, ["kind", "colour"], ["masks", "depth", "edges"])
    assert len(photos) == PICTURES
    assert set(photos.vocabulary["kind"]) <= set(VOCABULARY["kind"])
    pixels = [photo.permute(1, 2, 0).numpy() for photo in photos.pixels]
    for number in range(PICTURES):
        drawn = draw(number, seed=SEED, size=32)
        (which,) = [place for place, each in enumerate(pixels) if np.array_equal(each, drawn.rendering.pixels)]
        words = {
            name: words[int(photos.words[which, place])]
            for place, (name, words) in enumerate(photos.vocabulary.items())
        }
        assert words == {"kind": drawn.product.kind, "colour": drawn.product.colour}
        beside = {name: layer[which, 0].numpy() for name, layer in photos.sidecars.items()}
        assert np.array_equal(beside["masks"], drawn.rendering.mask)
        assert np.array_equal(beside["edges"], drawn.rendering.edges)
        there, depth = drawn.rendering.mask > 0, drawn.rendering.depth
        assert (beside["depth"][~there] == 0).all()
        assert beside["depth"][there].max() == 255
        assert beside["depth"][there][depth[there].argmin()] >= 254  # what is nearest is brightest


def test_a_part_of_the_photos_keeps_what_belongs_to_each(studio_set: Path) -> None:
    photos = read(studio_set, ["kind"], ["masks"])
    rest, held_out = photos.divided(3)
    assert (len(rest), len(held_out)) == (4, 2)
    assert torch.equal(held_out.words, photos.words[[0, 3]])
    assert torch.equal(held_out.sidecars["masks"][1], photos.sidecars["masks"][3])


def test_other_words_make_another_set_of_the_same_photos(studio_set: Path) -> None:
    digests = {read(studio_set, attributes).digest for attributes in ([], ["kind"], ["kind", "colour"])}
    assert len(digests) == 3
    assert read(studio_set, ["kind"]).digest == read(studio_set, ["kind"]).digest


def test_a_shops_own_manifest_may_know_less(tmp_path: Path) -> None:
    for number, path in enumerate(draw_photos(tmp_path / "images", 5)):
        Image.open(path).save(tmp_path / "images" / f"{number}.jpg")
    (tmp_path / "images" / "3.jpg").write_bytes(b"no picture")
    lines = ["image_key,title,colour", "images/0.jpg,A cup,red", "images/1.jpg,A bag,", "images/2.jpg,A hat,blue"]
    (tmp_path / "manifest.csv").write_text("\n".join([*lines, "images/3.jpg,A shoe,green", ",Nothing,red"]))
    photos = read(tmp_path, ["colour"])
    assert len(photos) == 3  # one is no picture, one has no file, others are not in the manifest
    assert photos.vocabulary == {"colour": ("blue", "green", "red")}
    assert sorted(photos.words.flatten().tolist()) == [-1, 0, 2]


@pytest.mark.parametrize(
    ("manifest", "attributes", "sidecars", "said"),
    [
        (None, ["kind"], [], "give folders with a manifest.csv"),
        ("file,kind\na.png,mug\n", ["kind"], [], "name the photos' files in a column key, pictures, image_key"),
        ("key,kind\na.png,mug\n", ["sort"], [], r"attributes is \['sort'\]: choose columns of .*: key, kind"),
        ("key,kind\na.png,mug\n", ["kind"], ["masks"], r"sidecars is \['masks'\]: choose columns"),
        ("key,kind\na.png,mug\nb.png,mug\n", ["kind"], [], "2 to 256 different words: kind has 1"),
        ("key,kind\n../a.png,mug\n", ["kind"], [], "photos is '../a.png'"),
    ],
)
def test_a_manifest_that_does_not_say_what_is_asked_is_refused(
    tmp_path: Path, manifest: str | None, attributes: list[str], sidecars: list[str], said: str
) -> None:
    if manifest is not None:
        (tmp_path / "manifest.csv").write_text(manifest)
    with pytest.raises(InvalidRequest, match=said):
        read(tmp_path, attributes, sidecars)


def test_titles_are_no_attribute(tmp_path: Path) -> None:
    lines = [f"{number}.png,title {number}" for number in range(MAX_WORDS + 1)]
    (tmp_path / "manifest.csv").write_text("\n".join(["key,title", *lines]))
    with pytest.raises(InvalidRequest, match="title has 257"):
        read(tmp_path, ["title"])
