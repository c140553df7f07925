"""What `sentence_reader` learns: which words sentences ask for; see `worker.training.objectives`.

Its sentences are written here (`worker.training.sentences`), each about one of the photos, of which nothing but the
words is looked at. The loss is the cross-entropy of each attribute, "not said" being one more word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.sentence_reader import SentenceReader
from worker.pipelines.token_vectors import NAME, TokenVectors
from worker.sentences import token_vectors
from worker.training.photos import Photos
from worker.training.sentences import sentence

SIZES: dict[str, Any] = {"vectors": NAME, "width": 96}
SHOWN = 8  # sentences of a sample sheet
_MOST = 1 << 62  # of the seeds of sentences

CARD: dict[str, Any] = {
    "operation": "describe",
    "summary": "Reads the words of a sentence: which kind, colour, material and others it asks for, and what it "
    "leaves open.",
    "limits": [
        "It knows English sentences of a line or two about one product.",
        "It gives a broad name of a colour, such as blue, the nearest word that it has.",
        "What a sentence rules out is left open, not avoided: a mug without stripes may have some.",
    ],
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentences:
    """A batch."""

    tokens: Tensor  # float [N, T, 256]
    there: Tensor  # bool [N, T]
    said: Tensor  # int64 [N, A]: the word's place, or the number of words where none is said

    def to(self, device: torch.device) -> Sentences:
        """Return the same on a device."""
        return Sentences(tokens=self.tokens.to(device), there=self.there.to(device), said=self.said.to(device))


class SentenceReaderObjective:
    """The objective; see `worker.training.objectives.Objective`."""

    architecture = "sentence_reader"
    side_px = 8  # of photos that nobody looks at
    probe_examples = 1024
    headline = "held_out_accuracy"
    sizes: Mapping[str, Any] = SIZES
    card: Mapping[str, Any] = CARD

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> SentenceReader:
        """Return an untrained network."""
        return SentenceReader(**sizes)

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Sentences:
        rows = photos.words[torch.randint(len(photos), (count,), generator=generator)].tolist()
        seeds = torch.randint(_MOST, (count,), generator=generator).tolist()
        texts, said = [], []
        for row, seed in zip(rows, seeds, strict=True):
            columns = list(zip(photos.vocabulary.items(), row, strict=True))
            words = {name: known[place] for (name, known), place in columns if place >= 0}
            text, named = sentence(words, Random(seed))
            texts.append(text)
            said.append([place if name in named else len(known) for (name, known), place in columns])
        tokens, there = _vectors().of(texts)
        return Sentences(tokens=tokens, there=there, said=torch.tensor(said))

    def loss(self, network: SentenceReader, examples: Sentences) -> Tensor:
        scores = network(examples.tokens, examples.there)
        losses = [
            F.cross_entropy(each.float(), said) for each, said in zip(scores, examples.said.unbind(1), strict=True)
        ]
        return torch.stack(losses).sum()

    @torch.inference_mode()
    def measure(self, network: SentenceReader, examples: Sentences) -> dict[str, float]:
        """Return the share of what is read rightly: of each attribute, in the mean, of what is said and what is not."""
        scores = network(examples.tokens, examples.there)
        right = torch.stack([each.argmax(1) for each in scores], dim=1) == examples.said
        silent = examples.said == torch.tensor([len(words) for words in network.attributes.values()])
        names = zip(network.attributes, right.unbind(1), strict=True)
        return {
            **{f"held_out_accuracy_{name}": float(column.float().mean()) for name, column in names},
            "held_out_accuracy": float(right.float().mean()),
            "held_out_accuracy_said": float(right[~silent].float().mean()),
            "held_out_accuracy_not_said": float(right[silent].float().mean()),
        }

    @torch.inference_mode()
    def sample(self, network: SentenceReader, examples: Sentences) -> dict[str, Tensor]:
        """Return how sure it is: a picture for each sentence, a row for each attribute, "not said" at the right end."""
        scores = network(examples.tokens[:SHOWN], examples.there[:SHOWN])
        longest = max(each.shape[1] for each in scores)
        rows = [F.pad(each.softmax(1), (longest - each.shape[1], 0)) for each in scores]
        right = [F.pad(F.one_hot(said[:SHOWN], each.shape[1]), (longest - each.shape[1], 0)).float()
                 for each, said in zip(scores, examples.said.unbind(1), strict=True)]  # fmt: skip
        return {"read": _grey(rows), "said": _grey(right)}


def _grey(rows: list[Tensor]) -> Tensor:
    return torch.stack(rows, dim=1)[:, None].expand(-1, 3, -1, -1)


@cache
def _vectors() -> TokenVectors:
    return token_vectors()
