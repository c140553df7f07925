"""Bodies of refusals."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.schemas.body import Body


class Fault(Body):
    """One thing that is wrong with a request."""

    field: str = Field(description="Dotted path in the body, or query.…, path.…, header.…")
    value: Any = Field(description="What was sent, shortened; null if nothing was.")
    remedy: str = Field(description="What to send instead.")


class ProblemDetails(Body):
    """Why a request was not done (RFC 9457)."""

    type: str = Field(description="Stable URI of the kind of problem.", examples=["urn:restyle:problem:unknown_model"])
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What happened, for people.")
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="What happened, for programs. Stable.", examples=["unknown_model"])
    errors: list[Fault] = Field(description="Each wrong field of the request with 422; empty otherwise.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
