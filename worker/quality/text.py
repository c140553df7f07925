"""Whether the words on a product can still be read, and say the same."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

_SURE = 0.7  # of 1: what the reader is less sure of is not text that must be kept


class ReaderMissing(Exception):
    """What reads text is not installed: pip install 'restyle[ocr]'."""


class TextReader:
    """Reads the text in pictures, with RapidOCR and the models in its package. Loads them once."""

    def __init__(self) -> None:
        """Load the models.

        Raises:
            ReaderMissing: the extra `ocr` is not installed.

        """
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise ReaderMissing(ReaderMissing.__doc__) from error
        self._read: Any = RapidOCR(params={"Global.log_level": "error"})

    def lines(self, picture: Tensor) -> list[str]:
        """Return the lines of text in a picture, uint8 [3, h, w], as it finds them."""
        pixels = picture.permute(1, 2, 0).flip(-1).contiguous().numpy()  # blue first, as its models were trained
        found = self._read(np.ascontiguousarray(pixels))
        texts, scores = found.txts or (), found.scores or ()
        return [text for text, score in zip(texts, scores, strict=True) if score >= _SURE]


def text_kept(before: Sequence[str], after: Sequence[str]) -> float | None:
    """Return how much of the text says the same, from 0 to 1: 1 where all of it does. None where there was none.

    Twice the characters that both have in the same order, over all characters of both (Ratcliff & Obershelp 1988):
    words that came in count like words that are lost. Spaces, case and the order of lines do not.
    """
    first, second = ("\n".join(sorted(map(_plain, lines))) for lines in (before, after))
    if not first:
        return None
    return difflib.SequenceMatcher(None, first, second, autojunk=False).ratio()


def _plain(line: str) -> str:
    return "".join(line.casefold().split())
