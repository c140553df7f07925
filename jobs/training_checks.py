"""What has to be in order in a request to train a network."""

from __future__ import annotations

import re

from jobs.cards import CardShelf
from jobs.errors import InvalidRequest
from jobs.recipes import ManifestSource, Recipe, Source
from jobs.refusals import refusal
from jobs.trainings import MODEL_NAME, TAUGHT


def check_training(recipe: Recipe, shelf: CardShelf) -> None:
    """Refuse a recipe of the operation train that cannot be followed, and one of another operation that is to train.

    Raises:
        InvalidRequest: names what is wrong.

    """
    training = recipe.training
    if recipe.operation != "train":
        if training is not None:
            remedy = "leave it out, or choose the operation train"
            raise _refusal("training", training.model_dump(exclude_unset=True), remedy, code="not_for_restyling")
        return
    if training is None:
        raise _refusal("training", None, "say how to train: licence and iterations at least", code="no_training")
    if not re.fullmatch(MODEL_NAME, recipe.model):
        remedy = "name the new model in lower-case letters, digits and single hyphens"
        raise _refusal("model", recipe.model, remedy, code="model_name_invalid")
    if training.objective in TAUGHT:
        remedy = "choose another, or use `restyle train` with a config that names references: a job has none"
        raise _refusal("training.objective", training.objective, remedy, code="references_needed")
    given = recipe.model_dump(mode="json", include={"style", "parameters", "on", "then"})
    for field, value in given.items():
        if value:
            raise _refusal(field, value, "leave it out: training takes none", code="not_for_training")
    if training.start_from is not None:
        shelf.get(training.start_from, operation="restyle", field="recipe.training.start_from")


def check_photos(recipe: Recipe, source: Source) -> None:
    """Refuse to train on anything but all the photos below a prefix.

    Raises:
        InvalidRequest: the source is a manifest.

    """
    if recipe.operation == "train" and isinstance(source, ManifestSource):
        remedy = "give the prefix of a folder: training takes all the photos below it"
        raise refusal("source.type", source.type, remedy, code="source_not_for_training")


def _refusal(member: str, value: object, remedy: str, *, code: str) -> InvalidRequest:
    return refusal(f"recipe.{member}", value, remedy, code=code)
