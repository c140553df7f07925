from __future__ import annotations

from pathlib import Path

import pytest

from restyle.sources import gates_of, is_picture, parameters_of, read_references, source_of, style_name_of, url_of
from tests.restyle.conftest import PNG


def test_local_places_become_absolute_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spring photos").mkdir()
    (tmp_path / "rows.csv").touch()

    assert url_of("spring photos") == f"file://{tmp_path}/spring photos/"
    assert url_of("./spring photos/../rows.csv") == f"file://{tmp_path}/rows.csv"
    assert url_of("not/made/yet", folder=True) == f"file://{tmp_path}/not/made/yet/"
    assert url_of("/") == "file:///"


def test_urls_stay_as_they_are() -> None:
    assert url_of("s3://shop/a b/%20") == "s3://shop/a b/%20"


@pytest.mark.parametrize("name", ["rows.csv", "rows.JSONL", "rows.ndjson"])
def test_a_manifest_is_known_by_its_name(name: str) -> None:
    source = source_of(f"s3://shop/{name}", on_bad_row="skip")

    assert source == {"type": "manifest", "url": f"s3://shop/{name}", "on_bad_row": "skip"}


def test_a_folder_is_a_prefix(tmp_path: Path) -> None:
    assert source_of(str(tmp_path), on_bad_row="fail") == {"type": "prefix", "url": f"file://{tmp_path}/"}


def test_parameters_are_numbers_truths_and_words() -> None:
    given = ["strength=0.7", "steps=4", "keep_white=true", "fast=False", "painting=great-wave-2"]

    assert parameters_of(given) == {
        "strength": 0.7,
        "steps": 4,
        "keep_white": True,
        "fast": False,
        "painting": "great-wave-2",
    }


@pytest.mark.parametrize(
    "setting",
    ["strength", "=1", "strength=", "strength=Great", "strength=[1]", 'strength="1"', "strength=1 2", "strength=null"],
)
def test_other_parameters_are_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="name=value"):
        parameters_of([setting])


def test_gates_have_a_bound_or_both() -> None:
    gates = gates_of(["structure=0.9", "colour_shift=1"], ["colour_shift=3"])

    assert gates == {"structure": {"minimum": 0.9}, "colour_shift": {"minimum": 1, "maximum": 3}}
    for text in ("structure", "structure=", "structure=high"):
        with pytest.raises(ValueError, match="measure=number"):
            gates_of([], [text])


def test_a_style_is_named_by_its_pictures_whatever_their_order() -> None:
    one, two = {"Look.jpg": PNG, "b.jpg": PNG + b"2"}, {"Look.jpg": PNG + b"2", "b.jpg": PNG}

    assert style_name_of(one) == style_name_of(two)
    assert style_name_of(one) != style_name_of({"Look.jpg": PNG})
    assert style_name_of(one).startswith("look-")
    assert style_name_of({"ÄÖ.png": PNG}).startswith("style-")


def test_pictures_of_one_name_are_all_kept(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "look.png").write_bytes(PNG + folder.encode())

    pictures = read_references([tmp_path / "a" / "look.png", tmp_path / "b" / "look.png"])

    assert sorted(pictures.values()) == [PNG + b"a", PNG + b"b"]


def test_a_text_that_is_named_like_a_picture_is_none(tmp_path: Path) -> None:
    path = tmp_path / "look.jpg"
    path.write_text("not a picture")

    assert not is_picture(path.read_bytes())
    with pytest.raises(ValueError, match="not a picture"):
        read_references([path])
