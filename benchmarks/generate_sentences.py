"""Measures models that read sentences: on the studio's captions, and on sentences that a person wrote.

Both say things otherwise than the sentences that such models learn from. The truth is known of each attribute: its
word, or that the sentence leaves it open.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from benchmarks.generate_from_words import REAL_SEED
from benchmarks.generate_page import Measured
from benchmarks.progress import say
from benchmarks.written_sentences import WRITTEN
from jobs.cards import CardShelf
from studio.captions import caption
from studio.sampling import sample
from worker.checkpoints import SENTENCES, read_model
from worker.pipelines.sentence_reader import SentenceReader
from worker.sentences import load_reader, token_vectors

CAPTIONS, QUICK_CAPTIONS = 1000, 300
UNSAID = (("proportions", "regular"), ("season", "any"))  # captions do not mention these

Said = Sequence[tuple[str, Mapping[str, str]]]
"""Sentences, and the words that each says."""


def measure_sentences(shelf: CardShelf, quick: bool) -> Measured:
    """Measure every model of a shelf that reads sentences."""
    sets = {"captions": captions(QUICK_CAPTIONS if quick else CAPTIONS), "written": WRITTEN}
    figures: dict[str, float | str] = {f"{name}_sentences": len(said) for name, said in sets.items()}
    table = [["model", "sentences", "right", "of what is said", "of what is not"], ["---", "---", *["---:"] * 3]]
    readers = [card for card in shelf.cards.values() if card.architecture == SENTENCES]
    vectors = token_vectors() if readers else None
    for card in readers:
        say(f"reading sentences: {card.name}")
        assert vectors is not None
        reader, key = load_reader(read_model(shelf.folder / card.name), vectors), card.name.replace("-", "_")
        began = time.perf_counter()
        found = {name: read_rightly(reader, said) for name, said in sets.items()}
        seconds = time.perf_counter() - began
        figures |= {f"{key}_{name}_{each}": value for name, shares in found.items() for each, value in shares.items()}
        figures[f"{key}_sentences_per_second"] = round(sum(map(len, sets.values())) / seconds, 1)
        table += [
            [f"`{card.name}`", name, *(str(shares[each]) for each in ("accuracy", "said", "not_said"))]
            for name, shares in found.items()
        ]
    return Measured(figures=figures, heading="Sentences", table=table, series={})


def captions(count: int) -> Said:
    """Return captions of products that nothing was trained on."""
    products = [sample(number, seed=REAL_SEED) for number in range(count)]
    return [
        (caption(product), {name: word for name, word in product.attributes.items() if (name, word) not in UNSAID})
        for product in products
    ]


def read_rightly(reader: SentenceReader, said: Said) -> dict[str, float]:
    """Return which shares are read rightly: in the mean, of what is said and of what is not, of each attribute."""
    right = {
        (number, name): found.get(name) == words.get(name)
        for number, (text, words) in enumerate(said)
        for found in [reader.read(text)]
        for name in reader.attributes
    }
    spoken = {(number, name): name in said[number][1] for number, name in right}
    groups = {
        "accuracy": list(right),
        "said": [each for each in right if spoken[each]],
        "not_said": [each for each in right if not spoken[each]],
        **{f"accuracy_{name}": [each for each in right if each[1] == name] for name in reader.attributes},
    }
    return {
        group: round(sum(right[each] for each in members) / len(members), 3)
        for group, members in groups.items()
        if members
    }
