"""Labels and tags: what their words say is to be seen, and a set of them is written like any other."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio import TAG_VOCABULARY, draw_tag, write_set, write_tag_set
from studio.dataset import OtherSet
from studio.tags import PAPERS, tag_words

SIZE = 64


def test_words_are_drawn_from_all_that_there_are_and_follow_from_seed_and_number():
    words = [tag_words(number, seed=3) for number in range(600)]
    for name, known in TAG_VOCABULARY.items():
        assert set(Counter(each[name] for each in words)) == set(known)
    assert words[77] == tag_words(77, seed=3) != tag_words(77, seed=4)


def test_the_paper_has_its_colour_and_is_printed_on():
    for number in range(24):
        tag = draw_tag(number, seed=1, size=SIZE)
        middle = tag.pixels[20:44, 24:40].reshape(-1, 3).astype(int)
        paper = np.array(list(bytes.fromhex(PAPERS[tag.attributes["paper"]].removeprefix("#"))))
        is_paper = np.abs(middle - paper).max(1) < 6
        assert 0.15 < is_paper.mean() < 0.98, tag.attributes
        assert np.array_equal(tag.pixels, draw_tag(number, seed=1, size=SIZE).pixels)


def test_a_set_of_tags_has_its_manifest_and_is_not_mixed_with_one_of_products(tmp_path: Path):
    write_tag_set(tmp_path / "one", count=6, size=SIZE, seed=2)
    write_tag_set(tmp_path / "two", count=6, size=SIZE, seed=2, processes=2)
    with (tmp_path / "one" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    for number, row in enumerate(rows):
        assert {name: row[name] for name in TAG_VOCABULARY} == tag_words(number, seed=2)
        for folder in ("one", "two"):
            with Image.open(tmp_path / folder / row["pictures"]) as image:
                assert np.array_equal(np.asarray(image), draw_tag(number, seed=2, size=SIZE).pixels)
    with pytest.raises(OtherSet, match="tags"):
        write_set(tmp_path / "one", count=6, size=SIZE, seed=2)
