"""`sentence_reader`: says which words a sentence asks for (`worker.networks.sentence_reader`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from worker.networks.sentence_reader import SentenceReader as Network
from worker.pipelines.token_vectors import NAME, TokenVectors


class SentenceReader:
    """Reads sentences on the CPU, each by itself. Safe to share between threads."""

    def __init__(self, network: Network, vectors: TokenVectors) -> None:
        self._network = network.eval()
        self._vectors = vectors
        self.attributes: Mapping[str, Sequence[str]] = network.attributes

    @torch.inference_mode()
    def read(self, text: str) -> dict[str, str]:
        """Return the words that a sentence asks for, by attribute. What it leaves open is not there."""
        tokens, there = self._vectors.of([text])
        places = [int(scores.argmax()) for scores in self._network(tokens, there)]
        return {
            name: words[place]
            for (name, words), place in zip(self.attributes.items(), places, strict=True)
            if place < len(words)
        }


def load(config: Mapping[str, Any], weights: Mapping[str, Tensor], vectors: TokenVectors) -> SentenceReader:
    """Build the reader from a card's config and its weights.

    Raises:
        RuntimeError: the weights do not fit the network.
        ValueError: it was trained on other vectors.

    """
    network = Network(**config)
    if network.vectors != NAME:
        raise ValueError(f"it was trained on the vectors {network.vectors}; there are {NAME}")
    network.load_state_dict(weights, strict=True)
    return SentenceReader(network, vectors)
