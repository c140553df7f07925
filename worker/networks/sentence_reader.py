"""Reads attributes out of sentences: which words of a model a sentence asks for, and what it leaves open.

A convolutional network over the vectors of a sentence's tokens (Kim 2014, "Convolutional Neural Networks for Sentence
Classification", arXiv:1408.5882): what a token means depends on its neighbours, so that a red mug on green is not a
green one on red. Each token says how well each word fits it, and of a sentence the token that is surest counts.
Departures: convolutions that reach further and further (Yu & Koltun 2016, arXiv:1511.07122) instead of several widths,
and one more class for each attribute, "not said", which is as sure as the network has learned that silence is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VECTOR = 256  # length of a token's vector
REACHES = (1, 2, 4)  # tokens between those that a convolution looks at: 15 in a row, all together


class _Context(nn.Module):
    """What a token means among its neighbours, added to what it means alone."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.look = nn.Conv1d(width, width, 3, padding=reach, dilation=reach)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        known = self.norm(tokens) * there  # behind the last token there is nothing, as before the first
        return tokens + F.silu(self.look(known.transpose(1, 2)).transpose(1, 2))


class SentenceReader(nn.Module):
    """The network."""

    def __init__(
        self,
        *,
        vectors: str,  # by name, those that it was trained on: `worker.pipelines.token_vectors`
        width: int,  # of what is known of a token
        attributes: Mapping[str, Sequence[str]],  # the words of each attribute
    ) -> None:
        """Make a network without knowledge."""
        super().__init__()
        self.vectors = vectors
        self.attributes = {name: tuple(words) for name, words in attributes.items()}
        self.meaning = nn.Linear(VECTOR, width)
        self.contexts = nn.ModuleList(_Context(width, reach) for reach in REACHES)
        self.fits = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sum(map(len, self.attributes.values()))))
        self.silence = nn.Parameter(torch.zeros(len(self.attributes)))

    def forward(self, tokens: Tensor, there: Tensor) -> list[Tensor]:
        """Return for each attribute how well each of its words fits, and last that none is said, as logarithms.

        Shape: float [N, T, 256], and bool [N, T] where there are tokens -> float [N, words + 1] each.
        """
        known, whole = self.meaning(tokens), there[..., None]
        for context in self.contexts:
            known = context(known, whole)
        surest = self.fits(known).masked_fill(~whole, -torch.inf).amax(1)
        parts = surest.split([len(words) for words in self.attributes.values()], dim=1)
        return [
            torch.cat((part, silence.expand(len(part), 1)), dim=1)
            for part, silence in zip(parts, self.silence, strict=True)
        ]
