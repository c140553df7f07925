"""What the client raises. One class: a program branches on `code`, a person reads the message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a request."""

    field: str  # dotted path in the request body
    value: object  # what was sent
    remedy: str  # what to send instead

    def __str__(self) -> str:
        return f"{self.field} is {self.value!r}: {self.remedy}"


class RestyleError(Exception):
    """The service refused a request, or could not be reached.

    Attributes:
        code: stable and meant for programs, such as `unknown_model`, `not_found` or `unreachable`.
        status: the HTTP status; None when there was no answer.
        problems: what is wrong with the request, field by field; empty for other errors.

    """

    def __init__(self, message: str, *, code: str, status: int | None = None, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.problems = tuple(problems)

    @property
    def refused(self) -> bool:
        """Whether the request itself is at fault, so that repeating it cannot help."""
        return self.status is not None and 400 <= self.status < 500 and self.status != 429
