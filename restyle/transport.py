"""Requests that survive a restart of the service: bounded retries, and answers turned into errors that can be read."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from restyle.errors import Problem, RestyleError

ATTEMPTS = 5  # in all: about two seconds of patience when nothing listens
BASE_SECONDS = 0.25
CAP_SECONDS = 4.0
LONGEST_RETRY_AFTER_SECONDS = 30.0  # a server that asks for more is not waited for
BUSY = frozenset({429, 502, 503, 504})


class Transport:
    """Sends requests to one service. Every request sent through it must be safe to send twice."""

    def __init__(
        self, base_url: str, timeout: float, *, api_key: str | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        url = httpx.URL(base_url)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"the API's address is {base_url!r}: give one such as http://127.0.0.1:8000")
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=url,
            timeout=timeout,
            headers={"Accept": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            trust_env=url.host not in ("127.0.0.1", "localhost", "::1"),  # a proxy cannot reach this machine's loopback
        )

    def send(self, method: str, path: str, **parts: Any) -> httpx.Response:
        """Return a successful answer.

        Raises:
            RestyleError: the service refused, or was unreachable or busy at every attempt.

        """
        pauses = _pauses()
        while True:
            pause = next(pauses, None)
            try:
                response = self._http.request(method, path, **parts)
            except httpx.TransportError as error:
                if pause is None:
                    raise _unreachable(self._http.base_url, error) from error
            else:
                if response.status_code not in BUSY or pause is None:
                    return _checked(response)
                pause = max(pause, _retry_after_seconds(response))
                if pause > LONGEST_RETRY_AFTER_SECONDS:
                    return _checked(response)
            self._sleep(pause)

    def stream(self, path: str, **parts: Any) -> Iterator[bytes]:
        """Yield the body of an answer as it arrives. What is refused or breaks is not tried again.

        Raises:
            RestyleError: the service refused, or the connection broke before the end.

        """
        try:
            with self._http.stream("GET", path, **parts) as response:
                if not response.is_success:
                    response.read()
                    _checked(response)
                yield from response.iter_bytes()
        except httpx.TransportError as error:
            raise _unreachable(self._http.base_url, error) from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _pauses() -> Iterator[float]:
    for retry in range(ATTEMPTS - 1):
        ceiling = min(CAP_SECONDS, BASE_SECONDS * 2**retry)
        yield random.uniform(ceiling / 2, ceiling)


def _retry_after_seconds(response: httpx.Response) -> float:
    given = response.headers.get("Retry-After", "")
    if given.isdecimal():
        return float(given)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(given).timestamp() - time.time())
    except ValueError:
        return 0.0


def _unreachable(url: httpx.URL, error: httpx.TransportError) -> RestyleError:
    reason = str(error) or type(error).__name__
    return RestyleError(f"no answer from the API at {url}: {reason}", code="unreachable")


def _checked(response: httpx.Response) -> httpx.Response:
    """Return a success, raise anything else as the problem that it describes."""
    if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
        return response
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}  # not our service, or something in front of it
    problems = tuple(
        Problem(field=str(given.get("field", "")), value=given.get("value"), remedy=str(given.get("remedy", "")))
        for given in body.get("errors") or ()
    )
    message = "; ".join(map(str, problems)) or body.get("detail") or body.get("title")
    raise RestyleError(
        message or f"{response.url} answered {response.status_code} {response.reason_phrase}",
        code=str(body.get("code") or f"http_{response.status_code}"),
        status=response.status_code,
        problems=problems,
    )
