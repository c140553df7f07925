"""Sentences of wishes: a model that reads them says in which words of the one that makes pictures.

So pictures of every family follow sentences, and whoever wrote one can see what was understood: it is logged, and
`restyle models read` prints it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import structlog

from jobs.cards import TEXT, Card, CardShelf
from jobs.errors import CheckpointMismatch, JobsError, TextUnclear
from worker.checkpoints import SENTENCES, Checkpoint, read_checkpoint
from worker.pipelines import sentence_reader
from worker.pipelines.base import Wish
from worker.pipelines.sentence_reader import SentenceReader
from worker.pipelines.token_vectors import TokenVectors

log = structlog.get_logger(__name__)

KEPT = 1024  # sentences whose reading is remembered


class SentencesMissing(JobsError):
    """What reads sentences is not installed: install restyle[sentences]."""

    code = "sentences_missing"


class Sentences:
    """Reads sentences by the models of a shelf, which are loaded when they are first asked. For all threads."""

    def __init__(self, shelf: CardShelf) -> None:
        self._shelf = shelf
        self._lock = threading.Lock()
        self._readers: dict[str, SentenceReader] = {}
        self._vectors: TokenVectors | None = None
        self._read = lru_cache(KEPT)(self._read_by)

    def understood(self, wish: Wish, card: Card) -> Wish:
        """Return a wish with the words that its sentence asks for in the place of the sentence.

        What the wish says by attribute counts more than its sentence. A card that takes sentences as they stand has
        them.

        Raises:
            TextUnclear: the sentence names nothing that the model knows, or asks for a word that it does not know.
            SentencesMissing: the extra `sentences` is not installed.
            CheckpointMismatch: the model that reads is not what its card says.

        """
        if TEXT not in wish.attributes or not card.generation.reads_sentences:
            return wish
        given = dict(wish.attributes)
        text = given.pop(TEXT)
        return replace(wish, attributes={**self.words(text, card), **given})

    def words(self, text: str, card: Card) -> Mapping[str, str]:
        """Return what a sentence asks for, in the words of a model that makes pictures. Raises as above."""
        known = card.generation.worded
        reader = self._fitting(known)
        found = {} if reader is None else self._read(reader, text)
        words = {name: word for name, word in found.items() if name in known}
        if not words:
            told = "; ".join(f"{name}: {', '.join(each)}" for name, each in known.items())
            raise TextUnclear(f"{text!r} names nothing that {card.name} knows. It knows {told}")
        for name, word in words.items():
            if word not in known[name]:
                raise TextUnclear(f"{text!r} asks for the {name} {word}; {card.name} has {', '.join(known[name])}")
        return words

    def _fitting(self, known: Mapping[str, tuple[str, ...]]) -> str | None:
        """Return the name of the model that reads most of these words; None where no model reads sentences."""
        readers = [card for card in self._shelf.cards.values() if card.architecture == SENTENCES]
        return max(((_shared(card, known), card.name) for card in readers), default=(0, None))[1]

    def _read_by(self, name: str, text: str) -> Mapping[str, str]:
        words = self._reader(name).read(text)
        log.info("sentence_read", model=name, text=text, words=words)
        return words

    def _reader(self, name: str) -> SentenceReader:
        with self._lock:
            if name not in self._readers:
                self._vectors = self._vectors or token_vectors()
                self._readers[name] = load_reader(read_checkpoint(self._shelf, name), self._vectors)
            return self._readers[name]


def token_vectors() -> TokenVectors:
    """Return the vectors that sentences are read by.

    Raises:
        SentencesMissing: they are not installed, or others.

    """
    try:
        return TokenVectors()
    except (ImportError, ValueError) as error:
        raise SentencesMissing(f"sentences cannot be read: {error}: install restyle[sentences]") from error


def load_reader(checkpoint: Checkpoint, vectors: TokenVectors) -> SentenceReader:
    """Return a model that reads sentences, ready.

    Raises:
        CheckpointMismatch: it is none, or its weights do not fit the card's config.

    """
    card = checkpoint.card
    if card.architecture != SENTENCES:
        raise CheckpointMismatch(f"{card.name} reads no sentences: it is {card.architecture}, not {SENTENCES}")
    try:
        return sentence_reader.load(card.config, checkpoint.weights, vectors)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointMismatch(f"{card.name}: weights, config and architecture do not fit: {error}") from error


def _shared(card: Card, known: Mapping[str, tuple[str, ...]]) -> int:
    read = card.config.get("attributes", {})
    return sum(len({*words} & {*read.get(name, ())}) for name, words in known.items())
