"""What has to be in order in a recipe: its models, their styles and knobs, and what goes together."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from jobs.cards import Card, CardShelf, Operation
from jobs.gates import check_gates
from jobs.looks import KeptBackground, Region, SegmentedMask, Step
from jobs.operation_checks import check_operation
from jobs.recipes import Recipe, fingerprint, sha256_of
from jobs.records import StyleRecord
from jobs.refusals import Refusals, refusal
from jobs.training_checks import check_training

Styles = Mapping[str, StyleRecord]
"""Those that a recipe names, as far as its tenant has them, by name."""


def complete_recipe(recipe: Recipe, shelf: CardShelf, styles: Styles, refusals: Refusals) -> Recipe | None:
    """Check a recipe and return it complete: with the defaults of its models' cards. None where it cannot run."""
    refusals.collect(lambda: check_training(recipe, shelf))
    if recipe.operation == "train":
        return recipe
    steps = [
        _complete_step(step, at, recipe.operation if at == "recipe" else "restyle", shelf, styles, refusals)
        for at, step in _places(recipe)
    ]
    _check_looks(recipe, shelf, styles, refusals)
    refusals.collect(lambda: check_gates(recipe))
    refusals.collect(lambda: _check_segmenter(recipe, shelf))
    runnable = [step for step in steps if step is not None]
    if len(runnable) < len(steps):
        return None
    first, *rest = runnable
    on = None if first.on == shelf.get(first.model).acts_on == "all" else first.on
    complete = recipe.model_copy(update={"parameters": first.parameters, "on": on, "then": tuple(rest)})
    cards = [shelf.get(step.model) for step in complete.steps]
    refusals.collect(lambda: check_operation(complete, cards[0]))
    refusals.collect(lambda: _check_background(complete, cards))
    refusals.collect(lambda: _check_mask(complete))
    refusals.collect(lambda: _check_format(complete, cards))
    return complete


def fingerprint_of(recipe: Recipe, shelf: CardShelf, styles: Styles) -> str:
    """Return the fingerprint of a complete recipe, with the digests of everything that it names."""
    if recipe.operation == "train":
        start = recipe.training.start_from if recipe.training else None
        return fingerprint(recipe, weights_sha256=start and shelf.get(start).weights_sha256, style_sha256=None)
    (weights, style), *then = (
        (shelf.get(step.model).weights_sha256, styles[step.style].sha256 if step.style else None)
        for step in recipe.steps
    )
    mask = shelf.get(recipe.mask.model) if isinstance(recipe.mask, SegmentedMask) else None
    return fingerprint(
        recipe,
        weights_sha256=weights,
        style_sha256=style,
        then_sha256=then,
        mask_sha256=sha256_of([mask.weights_sha256, mask.config]) if mask else None,
        looks_sha256=[styles[rule.style].sha256 if rule.style else None for rule in recipe.looks],
    )


def _places(recipe: Recipe) -> Sequence[tuple[str, Step]]:
    """Return each model's step, and where a request has it."""
    first, *rest = recipe.steps
    return [("recipe", first), *((f"recipe.then.{number}", step) for number, step in enumerate(rest))]


def _complete_step(
    step: Step, at: str, operation: Operation, shelf: CardShelf, styles: Styles, refusals: Refusals
) -> Step | None:
    card = refusals.collect(lambda: shelf.get(step.model, operation=operation, field=f"{at}.model"))
    refusals.collect(lambda: _check_style(step, at, card, styles))
    if card is None:
        return None
    parameters = refusals.collect(lambda: card.complete(step.parameters, field=f"{at}.parameters"))
    return step.model_copy(update={"parameters": parameters or {}, "on": step.on or card.acts_on})


def _check_looks(recipe: Recipe, shelf: CardShelf, styles: Styles, refusals: Refusals) -> None:
    """Refuse rules that choose a look which the model does not have. They stay as they are: a retry may differ."""
    card = shelf.cards.get(recipe.model)
    if card is None:
        return  # which has been said
    for number, rule in enumerate(recipe.looks):
        at = f"recipe.rules.{number}"
        if rule.style is not None:
            step = Step(model=card.name, style=rule.style)
            refusals.collect(functools.partial(_check_style, step, at, card, styles))
        refusals.collect(functools.partial(card.complete, rule.parameters, field=f"{at}.parameters"))


def _check_style(step: Step, at: str, card: Card | None, styles: Styles) -> None:
    if card is not None and card.needs_style and step.style is None:
        remedy = f"{card.name} needs a style: give the name of one, see GET /v1/styles"
        raise refusal(f"{at}.style", None, remedy, code="style_required")
    if card is not None and not card.needs_style and step.style is not None:
        remedy = f"leave it out: {card.name} takes no style"
        raise refusal(f"{at}.style", step.style, remedy, code="style_not_taken")
    if step.style is not None and step.style not in styles:
        remedy = "there is no style of this name: see GET /v1/styles, or upload it with POST /v1/styles"
        raise refusal(f"{at}.style", step.style, remedy, code="unknown_style")


def _check_segmenter(recipe: Recipe, shelf: CardShelf) -> None:
    if isinstance(recipe.mask, SegmentedMask):
        shelf.get(recipe.mask.model, operation="segment", field="recipe.mask.model")


def _check_mask(recipe: Recipe) -> None:
    if recipe.mask is not None and not recipe.needs_mask:
        value = recipe.mask if isinstance(recipe.mask, str) else recipe.mask.model_dump()
        remedy = (
            "leave it out, or say in recipe.background what becomes of what is not in the mask, or in recipe.on where "
            "the model acts"
        )
        raise refusal("recipe.mask", value, remedy, code="mask_without_background")


def _check_background(recipe: Recipe, cards: Sequence[Card]) -> None:
    if recipe.background is None:
        return
    regions: list[Region | None] = [step.on for step in recipe.steps]
    remedy = None
    if not isinstance(recipe.background, KeptBackground):
        idle = [card.name for card, region in zip(cards, regions, strict=True) if region == "background"]
        if idle:
            remedy = f"leave it out, or {idle[0]}: a new background takes the place of what that makes of the old one"
    elif any(region not in (None, "all") for region in regions):
        remedy = "leave it out: `on` says where each model acts, and its strength how much"
    elif weak := [card.name for card in cards if "strength" not in card.parameters]:
        remedy = f"leave it out, or choose another type: {weak[0]} has no strength that a background could differ in"
    if remedy is not None:
        raise refusal("recipe.background.type", recipe.background.type, remedy, code="background_not_taken")


def _check_format(recipe: Recipe, cards: Sequence[Card]) -> None:
    if recipe.format.is_picture:
        return
    if recipe.then:
        remedy = "choose a picture format: what several models do one after the other is no one colour table"
        raise refusal("recipe.format", recipe.format, remedy, code="no_table")
    if not cards[0].tables:
        remedy = f"choose a picture format: what {cards[0].name} does to a picture is no colour table"
        raise refusal("recipe.format", recipe.format, remedy, code="no_table")
    given = [("recipe", recipe.parameters)]
    given += [(f"recipe.rules.{number}", rule.parameters) for number, rule in enumerate(recipe.looks)]
    for at, parameters in given:
        for name, value in parameters.items():
            if value and cards[0].parameters[name].local:
                remedy = "leave it out: a colour table does the same at every place of a picture"
                raise refusal(f"{at}.parameters.{name}", value, remedy, code="no_table")
    if recipe.background is not None:
        remedy = "leave it out: a colour table knows no background"
        raise refusal("recipe.background.type", recipe.background.type, remedy, code="background_not_taken")
    if recipe.needs_mask:
        remedy = "leave it out: a colour table knows no product"
        raise refusal("recipe.on", recipe.on, remedy, code="background_not_taken")
