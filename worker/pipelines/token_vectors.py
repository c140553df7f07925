"""Vectors of the tokens of sentences, as the package `wordllama` carries them: 32,000 tokens, learned from much text.

The package is found and not imported: its own loader looks for its tokenizer where it is not and would fetch it from
the network, and importing it sets up logging for the whole process. Two of its files are read, and nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor

PACKAGE = "wordllama"
NAME = "wordllama-l2-supercat-256"
FILES = ("weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json")
SHA256 = "4d243a4b2daee65802d68699e288b9347fd45097303dc232205a660a82b5171e"  # of both files, one behind the other
MOST_TOKENS = 512  # of a sentence; what comes after them is not looked at


class TokenVectors:
    """The vectors, in memory. Safe to share between threads."""

    def __init__(self) -> None:
        """Read them.

        Raises:
            ImportError: the package is not installed, or what reads its tokenizer is not.
            ValueError: its files are not those that sentences were learned with.

        """
        from tokenizers import Tokenizer  # here: it belongs to an extra

        weights, tokenizer = (path.read_bytes() for path in _files())
        found = hashlib.sha256(weights + tokenizer).hexdigest()
        if found != SHA256:
            raise ValueError(f"the vectors of {PACKAGE} have sha256 {found}, not {SHA256}: install its version 0.4.0")
        (self._table,) = load_tensors(weights).values()
        self._tokenizer = Tokenizer.from_str(tokenizer.decode())

    def of(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the vectors of the tokens of each text, and where there are any: float [N, T, 256], bool [N, T]."""
        numbers = [self._numbers(text) for text in texts]
        longest = max(1, *map(len, numbers))
        there = torch.tensor([[place < len(row) for place in range(longest)] for row in numbers])
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in numbers])
        return self._table[padded].float() * there[..., None], there

    def _numbers(self, text: str) -> list[int]:
        plain = " ".join(unicodedata.normalize("NFKC", text).lower().split())
        numbers: list[int] = self._tokenizer.encode(plain, add_special_tokens=False).ids
        return numbers[:MOST_TOKENS]


def _files() -> list[Path]:
    spec = importlib.util.find_spec(PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        paths = [Path(folder) / file for file in FILES]
        if all(path.is_file() for path in paths):
            return paths
    raise ImportError(f"there is no package {PACKAGE} with {' and '.join(FILES)}")
