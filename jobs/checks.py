"""Everything that can be known of a request before its source is read, checked together.

Storage is asked whether the source exists, so no transaction may be open. What is refused leaves nothing behind.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Container
from dataclasses import dataclass

from jobs.cards import CardShelf
from jobs.errors import AccessDenied, ObjectMissing, SourceRefused, StorageError
from jobs.locations import Location, check_allowed
from jobs.looks import PictureBackground
from jobs.manifests import manifest_format
from jobs.operation_checks import check_source
from jobs.output_keys import MAX_OUTPUT_KEY_BYTES, MIN_OUTPUT_KEY_BYTES
from jobs.recipe_checks import Styles, complete_recipe, fingerprint_of
from jobs.recipes import CountSource, JobRequest, JobSource, ManifestSource, PrefixSource, Recipe, Source, sha256_of
from jobs.refusals import Refusals, refusal
from jobs.retrying import Retried
from jobs.storage import Storages
from jobs.tenants import Tenant
from jobs.training_checks import check_photos

PlaceSource = PrefixSource | ManifestSource

MAX_OUTPUT_FOLDER_BYTES = MAX_OUTPUT_KEY_BYTES - MIN_OUTPUT_KEY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRequest:
    """A request in which everything is in order, with what the checks worked out."""

    request: JobRequest  # as it came
    sha256: str  # of the request
    recipe: Recipe  # complete: the card's defaults filled in
    fingerprint: str
    style_id: uuid.UUID | None  # of the first model
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
    styles: Styles,
    retried: Retried | None = None,
    moment: datetime.datetime,
) -> CheckedRequest:
    """Check a request and work out its complete recipe.

    `styles` are those of the tenant that the recipe names; `retried` the tenant's job that the source names; `moment`
    is now, by the database's clock.

    Raises:
        InvalidRequest: names every problem that was found.
        StorageError: storage could not say whether the source exists; worth another try.

    """
    refusals = Refusals()
    refusals.collect(lambda: check_source(request.recipe, request.source))
    refusals.collect(lambda: check_photos(request.recipe, request.source))
    recipe = complete_recipe(request.recipe, shelf, styles, refusals)
    _check_backdrop(request.recipe, tenant, storages, refusals)
    refusals.collect(lambda: check_times(moment, not_before_at=request.not_before_at, deadline_at=request.deadline_at))
    if isinstance(request.source, JobSource):
        source: Source | None = request.source
        output = refusals.collect(lambda: _check_retried(request, retried, tenant))
    elif isinstance(request.source, CountSource):
        source = request.source
        output = refusals.collect(lambda: _output_location(request.output_url, tenant))
    else:
        source, output = _check_places(request.source, request.output_url, tenant, storages, refusals)
    refusals.raise_any()
    assert recipe is not None
    assert source is not None
    return CheckedRequest(
        request=request,
        sha256=request_sha256(request),
        recipe=recipe,
        fingerprint=fingerprint_of(recipe, shelf, styles),
        style_id=styles[recipe.style].id if recipe.style else None,
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
        raise refusal("deadline_at", deadline_at.isoformat(), remedy, code="deadline_passed")
    if not_before_at is not None and not_before_at >= deadline_at:
        field = "not_before_at" if "not_before_at" in given else "deadline_at"
        value = not_before_at if field == "not_before_at" else deadline_at
        remedy = (
            f"let it start before its deadline: nothing runs before {not_before_at.isoformat()}, and it is stopped "
            f"at {deadline_at.isoformat()}"
        )
        raise refusal(field, value.isoformat(), remedy, code="deadline_before_start")


def _check_backdrop(recipe: Recipe, tenant: Tenant, storages: Storages, refusals: Refusals) -> None:
    """See to it that the picture of a background is the tenant's, and there."""
    if not isinstance(recipe.background, PictureBackground):
        return
    field, url = "recipe.background.url", recipe.background.url
    location = refusals.collect(lambda: Location.parse(url, field=field))
    if location is None:
        return

    def check() -> None:
        if location.is_prefix:
            raise refusal(field, url, "name one picture, not a folder", code="invalid_request")
        check_allowed(location, tenant.allowed_prefixes, field)
        _find(location, storages, field)

    refusals.collect(check)


def _check_places(
    source: PlaceSource, output_url: str | None, tenant: Tenant, storages: Storages, refusals: Refusals
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
        raise refusal("source.job_id", str(request.source.job_id), remedy, code="unknown_job")
    parent = retried.parent
    if retried.count == 0:
        remedy = f"choose others: none of its items fits, see GET /v1/jobs/{parent.id}/items"
        raise refusal("source.states", list(request.source.states), remedy, code="nothing_to_retry")
    if request.recipe.operation != parent.recipe["operation"]:
        remedy = f"use {parent.recipe['operation']}: its items are for that"
        raise refusal("recipe.operation", request.recipe.operation, remedy, code="operation_differs")
    if request.recipe.format != parent.recipe["format"]:
        remedy = f"use {parent.recipe['format']}: the pictures take the names that they had in job {parent.id}"
        raise refusal("recipe.format", request.recipe.format, remedy, code="format_differs")
    output = _output_location(parent.output_url, tenant)
    if request.output_url is not None and _output_location(request.output_url, tenant) != output:
        remedy = f"leave it out: the pictures go where job {parent.id} would have put them"
        raise refusal("output_url", request.output_url, remedy, code="output_differs")
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
        raise refusal("source.url", str(location), remedy, code=refused.code) from None


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
        raise refusal("output_url", output_url, remedy, code="output_name_too_long")
    return location


def _check_apart(base: Location, output: Location) -> None:
    """Refuse an output that holds the originals. One inside of the source is fine: planning leaves it out."""
    if base.within(output):
        remedy = f"choose a folder that does not hold {base}: there, results could replace originals"
        raise refusal("output_url", str(output), remedy, code="output_holds_source")


def _check_exists(source: Location, storages: Storages, refusals: Refusals) -> None:
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
            raise refusal(field, str(location), remedy, code="source_empty")
    except ObjectMissing:
        remedy = "there is nothing of this name: check its spelling, or upload it first"
        raise refusal(field, str(location), remedy, code="object_missing") from None
    except AccessDenied:
        remedy = "storage refuses access: let the service's own credentials list and read it"
        raise refusal(field, str(location), remedy, code="access_denied") from None
