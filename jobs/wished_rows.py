"""What the rows of a manifest wish for: words of a model's attributes, a count of variants, and a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.cards import Card
from jobs.columns import whole_number
from jobs.manifests import Row
from jobs.operation_checks import attribute_fault
from jobs.refusals import refusal
from jobs.rules import Rule, attributes_by
from jobs.wishes import MAX_SEED, is_wish, seed_of, wish_url

COUNT, SEED = "count", "seed"  # columns
MAX_COUNT = 1_000  # variants of one row


@dataclass(frozen=True, slots=True, kw_only=True)
class Wished:
    """What a recipe wishes of every picture, for rows to say otherwise."""

    card: Card  # of the model that makes them
    attributes: Mapping[str, str]
    rules: Sequence[Rule]
    seed: int

    def of_row(self, row: Row) -> Sequence[str]:
        """Return the wishes of a row, one for each variant.

        Of a row with a seed they follow from that seed and its words alone, in any job; of another from the job's seed
        and the row's product, or its line where it has none.

        Raises:
            InvalidRequest: a word that the model does not know, a count or a seed that is none.

        """
        if is_wish(row.key):  # a line of an earlier job's errors file
            return [row.key]
        known = self.card.generation.wishable
        given = {name: value for name, value in row.attributes.items() if name in known and value not in (None, "")}
        words = {name: str(word) for name, word in given.items()}
        for name, word in words.items():
            fault = attribute_fault(self.card, name, word)
            if fault is not None:
                raise refusal(name, word, fault, code="attribute_unknown")
        count = whole_number(row, COUNT, 1, MAX_COUNT, code="count_invalid")
        seed = whole_number(row, SEED, 0, MAX_SEED, code="seed_invalid")
        start = (self.seed, row.product_id or row.row_no) if seed is None else (seed,)
        attributes = {**self.attributes, **attributes_by(self.rules, row.attributes), **words}
        return [wish_url(attributes, seed_of(*start, variant)) for variant in range(1, (count or 1) + 1)]
