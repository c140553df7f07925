"""Everything that can be known of a request before its source is read, checked together.

Storage is asked whether the source exists, so no transaction may be open. What is refused leaves nothing behind.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import TypeVar

from jobs.cards import Card, CardShelf
from jobs.errors import AccessDenied, InvalidRequest, ObjectMissing, Problem, SourceRefused, StorageError
from jobs.gates import check_gates
from jobs.locations import Location, check_allowed
from jobs.manifests import manifest_format
from jobs.output_keys import MAX_OUTPUT_KEY_BYTES, MIN_OUTPUT_KEY_BYTES
from jobs.recipes import (
    JobRequest,
    JobSource,
    KeptBackground,
    ManifestSource,
    PictureBackground,
    PrefixSource,
    Recipe,
    Source,
    fingerprint,
    sha256_of,
)
from jobs.records import StyleRecord
from jobs.retrying import Retried
from jobs.storage import Storages
from jobs.tenants import Tenant
from jobs.training_checks import check_photos, check_training

Value = TypeVar("Value")
PlaceSource = PrefixSource | ManifestSource

MAX_OUTPUT_FOLDER_BYTES = MAX_OUTPUT_KEY_BYTES - MIN_OUTPUT_KEY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRequest:
    """A request in which everything is in order, with what the checks worked out."""

    request: JobRequest  # as it came
    sha256: str  # of the request
    recipe: Recipe  # complete: the card's defaults filled in
    fingerprint: str
    style_id: uuid.UUID | None
    source: Source  # a prefix ends in a slash
    output: Location | None  # a folder; None: one of the job's own
    retried_count: int | None  # items of another job; None for other sources


def request_sha256(request: JobRequest) -> str:
    """Return what tells one request from another under the same idempotency key."""
    return sha256_of(request.model_dump(mode="json", exclude={"validate_only"}))


def check_request(
    request: JobRequest,
    tenant: Tenant,
    *,
    shelf: CardShelf,
    storages: Storages,
    style: StyleRecord | None,
    retried: Retried | None = None,
    moment: datetime.datetime,
) -> CheckedRequest:
    """Check a request and work out its complete recipe.

    `style` is the tenant's style that the recipe names, None if there is none of that name; `retried` the tenant's
    job that the source names; `moment` is now, by the database's clock.

    Raises:
        InvalidRequest: names every problem that was found.
        StorageError: storage could not say whether the source exists; worth another try.

    """
    refusals = _Refusals()
    recipe = _check_recipe(request.recipe, shelf, style, refusals)
    _check_backdrop(request.recipe, tenant, storages, refusals)
    refusals.collect(lambda: check_times(moment, not_before_at=request.not_before_at, deadline_at=request.deadline_at))
    if isinstance(request.source, JobSource):
        source: Source | None = request.source
        output = refusals.collect(lambda: _check_retried(request, retried, tenant))
    else:
        source, output = _check_places(request.source, request.output_url, tenant, storages, refusals)
        refusals.collect(lambda: check_photos(request.recipe, request.source))
    refusals.raise_any()
    assert recipe is not None
    assert source is not None
    card = _card_used(recipe, shelf)
    return CheckedRequest(
        request=request,
        sha256=request_sha256(request),
        recipe=recipe,
        fingerprint=fingerprint(
            recipe, weights_sha256=card.weights_sha256 if card else None, style_sha256=style.sha256 if style else None
        ),
        style_id=style.id if style else None,
        source=source,
        output=output,
        retried_count=retried.count if retried else None,
    )


def check_times(
    moment: datetime.datetime,
    *,
    not_before_at: datetime.datetime | None,
    deadline_at: datetime.datetime | None,
    given: Container[str] = ("not_before_at", "deadline_at"),
) -> None:
    """Refuse times that leave no room to run. `given` are those that the caller sent, `moment` is now.

    Raises:
        InvalidRequest: the deadline has passed, or nothing may run before it.

    """
    if deadline_at is None:
        return
    if "deadline_at" in given and deadline_at <= moment:
        remedy = f"give a moment that is still to come: it is {moment.isoformat(timespec='seconds')}"
        raise _refusal("deadline_at", deadline_at.isoformat(), remedy, code="deadline_passed")
    if not_before_at is not None and not_before_at >= deadline_at:
        field = "not_before_at" if "not_before_at" in given else "deadline_at"
        value = not_before_at if field == "not_before_at" else deadline_at
        remedy = (
            f"let it start before its deadline: nothing runs before {not_before_at.isoformat()}, and it is stopped "
            f"at {deadline_at.isoformat()}"
        )
        raise _refusal(field, value.isoformat(), remedy, code="deadline_before_start")


class _Refusals:
    """Collects the problems of several checks, to report them together."""

    def __init__(self) -> None:
        self._found: list[InvalidRequest] = []

    def collect(self, check: Callable[[], Value]) -> Value | None:
        """Return what the check returns, or None and remember why not."""
        try:
            return check()
        except InvalidRequest as refusal:
            self._found.append(refusal)
            return None

    def raise_any(self) -> None:
        if not self._found:
            return
        codes = {refusal.code for refusal in self._found}
        problems = [problem for refusal in self._found for problem in refusal.problems]
        raise InvalidRequest(*problems, code=codes.pop() if len(codes) == 1 else None)


def _refusal(field: str, value: object, remedy: str, *, code: str) -> InvalidRequest:
    return InvalidRequest(Problem(field=field, value=value, remedy=remedy), code=code)


def _check_recipe(recipe: Recipe, shelf: CardShelf, style: StyleRecord | None, refusals: _Refusals) -> Recipe | None:
    """Return the recipe with its parameters complete."""
    refusals.collect(lambda: check_training(recipe, shelf))
    if recipe.operation == "train":
        return recipe
    card = refusals.collect(lambda: shelf.get(recipe.model))
    refusals.collect(lambda: _check_style(recipe, card, style))
    refusals.collect(lambda: check_gates(recipe))
    if card is None:
        return None
    refusals.collect(lambda: _check_background(recipe, card))
    refusals.collect(lambda: _check_format(recipe, card))
    parameters = refusals.collect(lambda: card.complete(recipe.parameters))
    return recipe.model_copy(update={"parameters": parameters})


def _card_used(recipe: Recipe, shelf: CardShelf) -> Card | None:
    """Return the card of the model that a recipe runs or, to train another, starts from."""
    name = recipe.model if recipe.training is None else recipe.training.start_from
    return None if name is None else shelf.get(name)


def _check_style(recipe: Recipe, card: Card | None, style: StyleRecord | None) -> None:
    if card is not None and card.needs_style and recipe.style is None:
        remedy = f"{card.name} needs a style: give the name of one, see GET /v1/styles"
        raise _refusal("recipe.style", None, remedy, code="style_required")
    if card is not None and not card.needs_style and recipe.style is not None:
        raise _refusal(
            "recipe.style", recipe.style, f"leave it out: {card.name} takes no style", code="style_not_taken"
        )
    if recipe.style is not None and style is None:
        remedy = "there is no style of this name: see GET /v1/styles, or upload it with POST /v1/styles"
        raise _refusal("recipe.style", recipe.style, remedy, code="unknown_style")


def _check_background(recipe: Recipe, card: Card) -> None:
    if isinstance(recipe.background, KeptBackground) and "strength" not in card.parameters:
        remedy = f"leave it out, or choose another type: {card.name} has no strength that a background could differ in"
        raise _refusal("recipe.background.type", recipe.background.type, remedy, code="background_not_taken")
    if recipe.mask is not None and recipe.background is None:
        remedy = "leave it out, or say in recipe.background what becomes of what is not in the mask"
        raise _refusal("recipe.mask", recipe.mask, remedy, code="mask_without_background")


def _check_format(recipe: Recipe, card: Card) -> None:
    if recipe.format.is_picture:
        return
    if not card.tables:
        remedy = f"choose a picture format: what {card.name} does to a picture is no colour table"
        raise _refusal("recipe.format", recipe.format, remedy, code="no_table")
    for name, value in recipe.parameters.items():
        if value and name in card.parameters and card.parameters[name].local:
            remedy = "leave it out: a colour table does the same at every place of a picture"
            raise _refusal(f"recipe.parameters.{name}", value, remedy, code="no_table")
    if recipe.background is not None:
        remedy = "leave it out: a colour table knows no background"
        raise _refusal("recipe.background.type", recipe.background.type, remedy, code="background_not_taken")


def _check_backdrop(recipe: Recipe, tenant: Tenant, storages: Storages, refusals: _Refusals) -> None:
    """See to it that the picture of a background is the tenant's, and there."""
    if not isinstance(recipe.background, PictureBackground):
        return
    field, url = "recipe.background.url", recipe.background.url
    location = refusals.collect(lambda: Location.parse(url, field=field))
    if location is None:
        return

    def check() -> None:
        if location.is_prefix:
            raise _refusal(field, url, "name one picture, not a folder", code="invalid_request")
        check_allowed(location, tenant.allowed_prefixes, field)
        _find(location, storages, field)

    refusals.collect(check)


def _check_places(
    source: PlaceSource, output_url: str | None, tenant: Tenant, storages: Storages, refusals: _Refusals
) -> tuple[PlaceSource | None, Location | None]:
    """Return the source with its URL complete, and the output, as far as they are in order."""
    location = refusals.collect(lambda: _source_location(source, tenant))
    output = refusals.collect(lambda: _output_location(output_url, tenant))
    if location is None:
        return None, output
    base = refusals.collect(lambda: _base_location(source, location, tenant))
    if base is not None and output is not None:
        refusals.collect(lambda: _check_apart(base, output))
    _check_exists(location, storages, refusals)
    return source.model_copy(update={"url": str(location)}), output


def _check_retried(request: JobRequest, retried: Retried | None, tenant: Tenant) -> Location | None:
    """Return the output of the job whose items are tried again: their pictures go to the very same keys."""
    assert isinstance(request.source, JobSource)
    if retried is None:
        remedy = "there is no job of this id: see GET /v1/jobs"
        raise _refusal("source.job_id", str(request.source.job_id), remedy, code="unknown_job")
    parent = retried.parent
    if retried.count == 0:
        remedy = f"choose others: none of its items fits, see GET /v1/jobs/{parent.id}/items"
        raise _refusal("source.states", list(request.source.states), remedy, code="nothing_to_retry")
    if request.recipe.format != parent.recipe["format"]:
        remedy = f"use {parent.recipe['format']}: the pictures take the names that they had in job {parent.id}"
        raise _refusal("recipe.format", request.recipe.format, remedy, code="format_differs")
    output = _output_location(parent.output_url, tenant)
    if request.output_url is not None and _output_location(request.output_url, tenant) != output:
        remedy = f"leave it out: the pictures go where job {parent.id} would have put them"
        raise _refusal("output_url", request.output_url, remedy, code="output_differs")
    return output


def _source_location(source: PlaceSource, tenant: Tenant) -> Location:
    location = Location.parse(source.url, field="source.url")
    if isinstance(source, PrefixSource):
        location = location.as_prefix()
    else:
        _check_manifest_name(location)
    check_allowed(location, tenant.allowed_prefixes, "source.url")
    return location


def _check_manifest_name(location: Location) -> None:
    try:
        manifest_format(location.key)
    except SourceRefused as refused:
        remedy = "name a file that ends in .csv, .jsonl or .ndjson"
        raise _refusal("source.url", str(location), remedy, code=refused.code) from None


def _base_location(source: PlaceSource, location: Location, tenant: Tenant) -> Location:
    """Return the folder that the source's keys are relative to."""
    if isinstance(source, PrefixSource) or source.base_url is None:
        return location.folder
    base = Location.parse(source.base_url, field="source.base_url").as_prefix()
    check_allowed(base, tenant.allowed_prefixes, "source.base_url")
    return base


def _output_location(output_url: str | None, tenant: Tenant) -> Location | None:
    if output_url is None:
        return None
    location = Location.parse(output_url, field="output_url").as_prefix()
    check_allowed(location, tenant.allowed_prefixes, "output_url")
    if len(location.key.encode()) > MAX_OUTPUT_FOLDER_BYTES:
        remedy = f"use a folder with a name of at most {MAX_OUTPUT_FOLDER_BYTES} bytes: the keys need room below it"
        raise _refusal("output_url", output_url, remedy, code="output_name_too_long")
    return location


def _check_apart(base: Location, output: Location) -> None:
    """Refuse an output that holds the originals. One inside of the source is fine: planning leaves it out."""
    if base.within(output):
        remedy = f"choose a folder that does not hold {base}: there, results could replace originals"
        raise _refusal("output_url", str(output), remedy, code="output_holds_source")


def _check_exists(source: Location, storages: Storages, refusals: _Refusals) -> None:
    try:
        refusals.collect(lambda: _find(source, storages, "source.url"))
    except StorageError:
        refusals.raise_any()  # what is wrong for certain says more than that storage is away
        raise


def _find(location: Location, storages: Storages, field: str) -> None:
    """Refuse what is not there: an object, or anything below a prefix."""
    storage = storages.at(location)
    try:
        if not location.is_prefix:
            storage.stat(location.key)
        elif next(iter(storage.list(location.key)), None) is None:
            remedy = "there is no object below this prefix: check its spelling, or fill it first"
            raise _refusal(field, str(location), remedy, code="source_empty")
    except ObjectMissing:
        remedy = "there is nothing of this name: check its spelling, or upload it first"
        raise _refusal(field, str(location), remedy, code="object_missing") from None
    except AccessDenied:
        remedy = "storage refuses access: let the service's own credentials list and read it"
        raise _refusal(field, str(location), remedy, code="access_denied") from None
