"""Collects what is wrong with a request, so that all of it is told at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from jobs.errors import InvalidRequest, Problem

Value = TypeVar("Value")


class Refusals:
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
        """Raise what was found, as one.

        Raises:
            InvalidRequest: a check has refused something.

        """
        if not self._found:
            return
        codes = {refusal.code for refusal in self._found}
        problems = [problem for refusal in self._found for problem in refusal.problems]
        raise InvalidRequest(*problems, code=codes.pop() if len(codes) == 1 else None)


def refusal(field: str, value: object, remedy: str, *, code: str) -> InvalidRequest:
    """Return the refusal of one field."""
    return InvalidRequest(Problem(field=field, value=value, remedy=remedy), code=code)
