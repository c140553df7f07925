"""Text on products: lines that are compared, and pictures that are read."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from tests.worker.drawn import blurred, draw_product, graded
from worker.quality.text import ReaderMissing, TextReader, text_kept


def test_text_that_says_the_same_is_kept_whatever_its_order_case_and_spaces() -> None:
    assert text_kept(["Fine Oats", "500 g"], ["500g", "FINE OATS"]) == 1
    assert text_kept(["Fine Oats", "500 g"], []) == 0
    assert text_kept([], ["Fine Oats"]) is None


def test_lost_changed_and_invented_letters_all_count() -> None:
    assert text_kept(["abcdefgh"], ["abcd"]) == pytest.approx(2 * 4 / 12)
    assert text_kept(["abcdefgh"], ["abcdxfgh"]) == pytest.approx(7 / 8)
    assert text_kept(["abcd"], ["abcdefgh"]) == pytest.approx(2 * 4 / 12)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "rapidocr":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.delitem(sys.modules, "rapidocr", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ReaderMissing, match=r"restyle\[ocr\]"):
        TextReader()


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


def test_a_label_is_read_also_under_a_grade_and_not_when_it_is_blurred_away(reader: TextReader) -> None:
    picture, _ = draw_product(224, size=0.9, label="CAMOMILE 42")
    before = reader.lines(picture)
    assert "".join(before).replace(" ", "") == "CAMOMILE42"
    assert text_kept(before, reader.lines(graded(picture))) == 1
    assert (text_kept(before, reader.lines(blurred(picture, 12))) or 0) < 0.5
