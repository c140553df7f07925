"""What a caller may ask of jobs that exist. Plain data, checked before anything is done."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobs.looks import ParameterValue, Region, Step
from jobs.plain import Plain
from jobs.recipes import ErrorCodeText, FailurePolicy, Gate, Moment, SettledState
from jobs.states import CancelMode, JobState


class CancelRequest(Plain):
    """How a job is stopped."""

    mode: CancelMode = Field(
        CancelMode.NOW,
        description="now: nothing that runs is recorded any more; drain: what workers hold is finished first.",
    )


class JobChanges(Plain):
    """What may be changed of a job while it has not ended. What is left out stays as it is."""

    priority: int = Field(0, strict=True, ge=-100, le=100, description="Higher runs first.")
    max_workers: int | None = Field(
        None, strict=True, ge=1, le=10_000, description="Most workers at the same time; null: no limit."
    )
    not_before_at: Moment | None = Field(None, description="Nothing runs earlier; null: at once.")
    deadline_at: Moment | None = Field(None, description="From then on it is stopped; null: never.")
    failure_policy: FailurePolicy = FailurePolicy()


class RecipeChanges(Plain):
    """Members of a recipe that differ from another's. The format cannot: results keep their names."""

    model: str = Field("", min_length=1, description="Name of a model; its parameters start from its own defaults.")
    style: str | None = Field(None, description="Name of a style.")
    parameters: dict[str, ParameterValue] = Field({}, description="Single parameters; the others stay.")
    on: Region | None = Field(None, description="Where the model acts.")
    then: tuple[Step, ...] = Field((), max_length=3, description="All further models; an empty list: none.")
    quality: int = Field(90, strict=True, ge=1, le=100, description="Encoder quality.")
    gates: dict[str, Gate] = Field({}, description="All gates; an empty object: none.")


class RetryRequest(Plain):
    """Which items of an ended job are tried again, and how."""

    states: tuple[SettledState, ...] = Field(
        ("failed", "rejected", "cancelled"), min_length=1, description="Only items in one of these states."
    )
    error_codes: tuple[ErrorCodeText, ...] | None = Field(
        None, min_length=1, max_length=50, description="Only items with one of these error codes; null: any."
    )
    recipe: RecipeChanges = Field(RecipeChanges(), description="What differs from that job's recipe.")
    dry_run: bool = Field(False, strict=True, description="Only count the items.")


class JobFilter(Plain):
    """Which jobs: those that fit everything given."""

    states: tuple[JobState, ...] | None = Field(None, min_length=1, description="In one of these states.")
    created_before: Moment | None = Field(None, description="Enqueued before this moment.")
    created_after: Moment | None = Field(None, description="Enqueued at or after this moment.")
    priority_below: int | None = Field(None, strict=True, ge=-100, le=101, description="Of a lower priority than this.")


class BulkRequest(Plain):
    """One control, for every job that fits a filter and that it can do something to."""

    action: Literal["pause", "resume", "cancel"]
    filter: JobFilter = Field(description="Which jobs; an empty object: all.")
    mode: CancelMode = Field(CancelMode.NOW, description="Of cancelling, as for a single job.")
    dry_run: bool = Field(False, strict=True, description="Only count the jobs.")
