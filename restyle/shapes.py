"""The JSON that the API answers with, as types. Only what the command and most scripts use is named."""

from __future__ import annotations

from typing import Any, TypedDict


class Counts(TypedDict):
    """A job's items by state. `total` is the sum of the others, the last two apart; it grows until `planned`."""

    total: int
    pending: int
    succeeded: int
    reused: int
    rejected: int
    failed: int
    cancelled: int
    bad_rows: int
    passed_over: int


class Progress(TypedDict):
    """How far a job is. Null means that it is too early to say."""

    fraction: float | None  # 0 to 1
    items_per_second: float | None
    seconds_left: float | None
    eta_at: str | None


class Files(TypedDict):
    """URLs of what a job writes about itself when it ends."""

    manifest: str
    errors: str
    engines: str
    contact_sheet_html: str
    contact_sheet_png: str


class Job(TypedDict):
    """One job."""

    id: str
    state: str  # planning, queued, running, paused, cancelling, finishing, ended
    outcome: str | None  # null until ended: succeeded, partial, failed, cancelled, expired
    operation: str
    recipe: dict[str, Any]
    source: dict[str, Any]
    output_url: str
    priority: int
    version: int  # grows with each move and each change
    max_workers: int | None
    not_before_at: str | None
    deadline_at: str | None
    require_confirmation: bool  # whether it still has to be confirmed, by resuming it
    pause_reason: dict[str, str] | None  # code and message; null unless paused
    cancel_mode: str | None  # now or drain
    parent_job_id: str | None  # the job whose items it tries again
    planned: bool  # whether the source has been read to its end
    counts: Counts
    progress: Progress
    device_seconds: float  # for which its settled items held a device
    device_seconds_estimate: float | None  # of the whole job
    cost: float | None  # so far; null where it is unknown
    cost_estimate: float | None  # of the whole job
    files: Files | None  # null until the job has ended
    error: dict[str, Any] | None  # why the whole job failed: code, message, and rows for a bad manifest
    created_at: str


class Item(TypedDict):
    """One picture of a job."""

    item_no: int  # 0, 1, 2 … in the order of the source
    product_id: str | None
    source_url: str
    output_url: str | None  # null unless there is a picture
    state: str  # pending, succeeded, reused, rejected, failed, cancelled
    error: dict[str, str] | None  # code and message
    sha256: str | None
    bytes: int | None
    width: int | None
    height: int | None
    milliseconds: dict[str, float] | None
    device_seconds: float | None  # null where no device had it
    cost: float | None
    engine: str | None  # digest of what computed it; its facts are in the job's file `engines`
    measures: dict[str, float] | None  # what was measured of the picture, by name
    attributes: dict[str, Any] | None


class MeasureDistribution(TypedDict):
    """How one measure is spread over a job's items."""

    name: str
    meaning: str
    count: int  # items that have it
    minimum: float
    p5: float
    p50: float
    p95: float
    maximum: float
    edges: list[float]  # where each bin begins, and where the last one ends
    counts: list[int]  # items by bin


class ResultPart(TypedDict):
    """The results of a run of a job's items. It never changes."""

    no: int
    first_item_no: int
    item_count: int
    bytes: int
    sha256: str
    url: str


class Style(TypedDict):
    """A named look."""

    id: str
    name: str
    sha256: str
    references: list[dict[str, Any]]
    created_at: str


class Model(TypedDict):
    """A model card."""

    name: str
    version: str
    operation: str
    summary: str
    needs_style: bool
    parameters: dict[str, dict[str, Any]]
