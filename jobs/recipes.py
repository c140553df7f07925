"""What a request to run a job says: recipe, source and output. Plain data, checked before any work starts."""

from __future__ import annotations

import hashlib
import json
import operator
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field

from jobs.formats import OutputFormat
from jobs.looks import Background, MaskSource, ParameterValue, ProtectedColour, Region, SegmentedMask, Step
from jobs.plain import Plain
from jobs.rules import Rule
from jobs.trainings import Training
from jobs.wishes import MAX_SEED

WRITTEN_OUT = re.compile(r"\d{4}-\d\d-\d\dT")


def _written_out(value: object) -> object:
    """Refuse what the validator would take for seconds since 1970."""
    if (isinstance(value, str) and not WRITTEN_OUT.match(value)) or isinstance(value, (int, float)):
        raise ValueError("give a date and time with its offset, such as 2026-11-22T06:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]


class Gate(Plain):
    """Bounds on one measure."""

    minimum: float | None = Field(None, strict=True, allow_inf_nan=False, description="Rejected below it.")
    maximum: float | None = Field(None, strict=True, allow_inf_nan=False, description="Rejected above it.")


class Recipe(Plain):
    """What to do to each item, and what a result has to keep.

    A member that came later is left out of plain data where it says nothing: recipes without it stay what they were.
    """

    operation: Literal["restyle", "generate", "translate", "upscale", "inpaint", "train"] = "restyle"
    model: str = Field(
        description="Name of a model, see GET /v1/models; of the operation train the name that the new one gets.",
        examples=["reference-grade"],
    )
    style: str | None = Field(None, description="Name of a style, where the model needs one.")
    parameters: dict[str, ParameterValue] = Field({}, description="Knobs of the model, see its card.")
    on: Region | None = Field(
        None,
        exclude_if=lambda region: region is None,
        description="Where the model acts; null: where its card says, which is everywhere for most.",
    )
    then: tuple[Step, ...] = Field(
        (),
        max_length=3,
        exclude_if=lambda steps: not steps,
        description="Further models, one after the other, each on what the one before made of the picture.",
    )
    attributes: dict[str, str] = Field(
        {},
        exclude_if=operator.not_,
        description="Of the operation generate: what every picture shows, unless its row says otherwise; the model's "
        "card has the words. What nobody says is left to chance.",
        examples=[{"kind": "mug", "colour": "red"}],
    )
    rules: tuple[Rule, ...] = Field(
        (),
        max_length=64,
        exclude_if=lambda rules: not rules,
        description="What becomes of rows by their other columns, such as a price band or an audience. Of the "
        "operation generate: what their pictures show; what a row says itself counts more, `attributes` count less. "
        "Of the operation restyle: which look they get, by the first rule that holds.",
    )
    seed: int = Field(
        0,
        strict=True,
        ge=0,
        le=MAX_SEED,
        exclude_if=operator.not_,
        description="Of the operation generate: of all chance. With the same seed a row gives the same picture.",
    )
    format: OutputFormat = Field(
        OutputFormat.JPEG, description="Format of the results; cube: no pictures, but the colour table of each."
    )
    quality: int = Field(90, strict=True, ge=1, le=100, description="Encoder quality; PNG ignores it.")
    gates: dict[str, Gate] = Field(
        {},
        exclude_if=operator.not_,
        description="Bounds by measure, see GET /v1/jobs/{id}/measures. A picture that breaks one is rejected.",
        examples=[{"structure": {"minimum": 0.9}, "colour_shift": {"maximum": 3}}],
    )
    training: Training | None = Field(
        None,
        exclude_if=lambda training: training is None,
        description="How the operation train trains the model, on the photos of the source.",
    )
    protected_colours: tuple[ProtectedColour, ...] = Field(
        (), max_length=8, exclude_if=lambda colours: not colours, description="Colours that the look leaves alone."
    )
    background: Background | None = Field(
        None,
        discriminator="type",
        exclude_if=lambda background: background is None,
        description="What becomes of the background; null: the look is on the whole picture.",
    )
    mask: MaskSource | SegmentedMask | None = Field(
        None,
        exclude_if=lambda mask: mask is None,
        description="Where the product's mask comes from: the manifest's `mask_key`, the picture's own alpha, the "
        "plain background that the product stands on, or a model that finds it. Null: the first of the former three "
        "that an item has.",
    )

    @property
    def steps(self) -> tuple[Step, ...]:
        """All models that a picture goes through, in order."""
        return (Step(model=self.model, style=self.style, parameters=self.parameters, on=self.on), *self.then)

    @property
    def looks(self) -> tuple[Rule, ...]:
        """The rules that choose a look; of an item the first that holds counts."""
        return self.rules if self.operation == "restyle" else ()

    def under(self, rule_no: int) -> Recipe:
        """Return the recipe of the items for which this look is chosen: what the rule does not say stays as it is."""
        rule = self.looks[rule_no]
        changes = {"style": rule.style or self.style, "parameters": self.parameters | rule.parameters, "rules": ()}
        return self.model_copy(update=changes)

    @property
    def styles(self) -> frozenset[str]:
        """The names of all styles that an item may get."""
        named = [*(step.style for step in self.steps), *(rule.style for rule in self.rules)]
        return frozenset(name for name in named if name is not None)

    @property
    def needs_mask(self) -> bool:
        """Whether an item needs a mask; of a complete recipe."""
        if self.operation == "inpaint":
            return True
        regions = (self.on, *(step.on for step in self.then))
        return self.background is not None or any(region not in (None, "all") for region in regions)


SettledState = Literal["succeeded", "reused", "rejected", "failed", "cancelled"]
ErrorCodeText = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]


class PrefixSource(Plain):
    """Every picture below a prefix, in the order of its keys."""

    type: Literal["prefix"] = "prefix"
    url: str = Field(description="s3://bucket/prefix/ or file:///folder/", examples=["s3://shop/catalogue/"])


class ManifestSource(Plain):
    """The rows of a CSV or JSONL manifest: product_id, key, and any attributes.

    A row without a key may name several pictures, `keys`, for a comparison sheet of them, or the words of a label.
    Of the operation generate a row needs no key: its attributes say what the picture shows, `count` how many variants
    of it are made, and `seed` which.
    """

    type: Literal["manifest"] = "manifest"
    url: str = Field(description="The manifest: .csv, .jsonl or .ndjson.", examples=["s3://shop/spring.csv"])
    base_url: str | None = Field(None, description="What relative keys start from; the manifest's folder if null.")
    on_bad_row: Literal["fail", "skip"] = Field(
        "fail",
        description="fail: the job ends before any item runs and names the rows. "
        "skip: bad rows go to the errors file, the rest runs, and the job ends as partial at best.",
    )


class JobSource(Plain):
    """Items of a job that has ended, to be tried again. Their pictures go where that job's would have gone."""

    type: Literal["job"] = "job"
    job_id: uuid.UUID = Field(description="The job whose items are tried again.")
    states: tuple[SettledState, ...] = Field(
        ("failed", "rejected", "cancelled"), min_length=1, description="Only items in one of these states."
    )
    error_codes: tuple[ErrorCodeText, ...] | None = Field(
        None, min_length=1, max_length=50, description="Only items with one of these error codes; null: any."
    )


class CountSource(Plain):
    """No pictures, but how many are to be generated."""

    type: Literal["count"] = "count"
    count: int = Field(strict=True, ge=1, le=10_000_000, description="Pictures to make.")


Source = PrefixSource | ManifestSource | CountSource | JobSource


def starts_while_planned(source: Mapping[str, Any]) -> bool:
    """Whether items of a source, in plain data, may run before it was read to its end: see decision 8."""
    return bool(source["type"] != "manifest" or source["on_bad_row"] == "skip")


class FailurePolicy(Plain):
    """What happens to a job of which too many items fail."""

    action: Literal["pause", "cancel", "ignore"] = Field(
        "pause", description="pause: wait for a person; cancel: end as failed; ignore: go on."
    )
    max_failed_share: float = Field(
        0.5, strict=True, ge=0, lt=1, description="Failed ÷ settled items that is still accepted."
    )
    min_items: int = Field(100, strict=True, ge=1, description="Settled items before the share says anything.")


class Retention(Plain):
    """How long a job is remembered."""

    days: int = Field(strict=True, ge=1, le=3650, description="Days after its end for which its rows are kept.")
    outputs: Literal["keep", "delete"] = Field("keep", description="Whether its pictures and files go with its rows.")


class JobRequest(Plain):
    """A request for one job."""

    recipe: Recipe
    source: Source = Field(discriminator="type")
    output_url: str | None = Field(
        None, description="Where results go; a folder of the job's own in the service's storage if null."
    )
    priority: int = Field(0, strict=True, ge=-100, le=100, description="Higher runs first.")
    max_workers: int | None = Field(None, strict=True, ge=1, le=10_000, description="Most workers at the same time.")
    not_before_at: Moment | None = Field(None, description="Nothing runs earlier.")
    deadline_at: Moment | None = Field(None, description="From then on it is stopped, and ends as expired.")
    require_confirmation: bool = Field(
        False, strict=True, description="Wait, paused, once the items are known: POST …/resume lets it run."
    )
    failure_policy: FailurePolicy = FailurePolicy()
    retention: Retention | None = Field(None, description="Null: it is remembered for ever.")
    validate_only: bool = Field(
        False, strict=True, description="Only check the request, and say what would be enqueued."
    )


def canonical_json(value: Any) -> str:
    """Return JSON that is equal for equal data: sorted names, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256_of(value: Any) -> str:
    """Return the hex sha256 of a value's canonical JSON."""
    # Half a character passes: what a request says is checked later, and refused with a reason.
    return hashlib.sha256(canonical_json(value).encode(errors="surrogatepass")).hexdigest()


def fingerprint(
    recipe: Recipe,
    *,
    weights_sha256: str | None,
    style_sha256: str | None,
    then_sha256: Sequence[tuple[str | None, str | None]] = (),  # of weights and style of each further model
    mask_sha256: str | None = None,  # of the model that finds the product
    looks_sha256: Sequence[str | None] = (),  # of the style of each rule that chooses a look
) -> str:
    """Identify what a recipe does to pixels: equal fingerprints give equal pictures on one device class.

    Gates judge pictures and change none, so they are no part of it.
    """
    parts = recipe.model_dump(mode="json", exclude={"gates"})
    parts |= {"weights_sha256": weights_sha256, "style_sha256": style_sha256}
    # As with members: what came later is left out where it says nothing.
    parts |= {"then_sha256": [list(each) for each in then_sha256]} if then_sha256 else {}
    parts |= {"mask_sha256": mask_sha256} if mask_sha256 else {}
    parts |= {"looks_sha256": list(looks_sha256)} if any(looks_sha256) else {}
    return sha256_of(parts)
