"""What goes together with an operation: members of a recipe that it has no use for are refused, and sources, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobs.cards import Card
from jobs.recipes import CountSource, PrefixSource, Recipe, Source
from jobs.refusals import refusal

# What a picture keeps can be measured and bounded only where there is one to compare with, of the same place.
_OF_PRODUCTS = ("on", "background", "mask", "protected_colours")
_UNUSED: Mapping[str, Sequence[str]] = {
    "restyle": ("attributes", "seed"),
    "generate": (*_OF_PRODUCTS, "gates"),
    "translate": ("attributes", "rules", "seed", *_OF_PRODUCTS, "gates"),
    "upscale": ("attributes", "rules", "seed", *_OF_PRODUCTS, "then"),
    "inpaint": ("attributes", "rules", "seed", "on", "background", "protected_colours", "then"),
}


def check_operation(recipe: Recipe, card: Card) -> None:
    """Refuse a recipe that says what its operation has no use for. `card`: of its first model.

    Raises:
        InvalidRequest: names the member.

    """
    given = recipe.model_dump(mode="json")
    for member in _UNUSED[recipe.operation]:
        value = given.get(member)
        if value:
            remedy = f"leave it out: the operation {recipe.operation} has no use for it"
            raise refusal(f"recipe.{member}", value, remedy, code="not_for_operation")
    if recipe.operation != "restyle" and not recipe.format.is_picture:
        remedy = "choose a picture format: only what restyles can be a colour table"
        raise refusal("recipe.format", recipe.format, remedy, code="no_table")
    if recipe.operation in ("generate", "translate") and recipe.needs_mask:
        remedy = 'say "on": "all" of each: there is no product to tell from its background before the picture is made'
        raise refusal("recipe.then", given["then"], remedy, code="not_for_operation")
    if recipe.operation == "inpaint" and recipe.mask not in (None, "manifest"):
        remedy = "leave it out: what is to be repaired is in the manifest's `mask_key`"
        raise refusal("recipe.mask", given["mask"], remedy, code="not_for_operation")
    for number, rule in enumerate(recipe.rules):
        for member in ("attributes",) if recipe.operation == "restyle" else ("style", "parameters"):
            value = getattr(rule, member)
            if value:
                remedy = f"leave it out: rules of the operation {recipe.operation} have no use for it"
                raise refusal(f"recipe.rules.{number}.{member}", value, remedy, code="not_for_operation")
    if recipe.operation == "generate":
        _check_words(card, recipe.attributes, "recipe.attributes")
        for number, rule in enumerate(recipe.rules):
            _check_words(card, rule.attributes, f"recipe.rules.{number}.attributes")


def _check_words(card: Card, words: Mapping[str, str], field: str) -> None:
    for name, word in words.items():
        fault = attribute_fault(card, name, word)
        if fault is not None:
            raise refusal(f"{field}.{name}", word, fault, code="attribute_unknown")


def attribute_fault(card: Card, name: str, word: str) -> str | None:
    """Say what to do where a model does not know an attribute, or a word of it; None where it does."""
    known = card.generation.wishable
    if name not in known:
        return f"{card.name} has no such attribute; it has {', '.join(known) or 'none'}"
    return None if word in known[name] or not known[name] else f"choose one of {', '.join(known[name])}"


def check_source(recipe: Recipe, source: Source) -> None:
    """Refuse pictures as the source of generated ones, and a mere count for everything else.

    Raises:
        InvalidRequest: names the source.

    """
    if recipe.operation == "generate" and isinstance(source, PrefixSource):
        remedy = "give a count, or a manifest of attributes: nothing is generated from pictures"
        raise refusal("source.type", source.type, remedy, code="source_not_for_operation")
    if recipe.operation != "generate" and isinstance(source, CountSource):
        remedy = "give a prefix or a manifest of pictures: a count is for the operation generate"
        raise refusal("source.type", source.type, remedy, code="source_not_for_operation")
    if recipe.rules and isinstance(source, PrefixSource | CountSource):
        remedy = "give a manifest: rules go by the columns of its rows"
        raise refusal("source.type", source.type, remedy, code="source_not_for_operation")
    if recipe.operation == "inpaint" and isinstance(source, PrefixSource):
        remedy = "give a manifest whose `mask_key` names what is to be repaired in each picture"
        raise refusal("source.type", source.type, remedy, code="source_not_for_operation")
