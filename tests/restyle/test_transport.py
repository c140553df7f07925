"""Retries and readable errors, against servers that misbehave as networks do. No pause is waited for."""

from __future__ import annotations

from restyle.errors import RestyleError
from restyle.transport import ATTEMPTS, Transport
from tests.restyle.answers import Answer, answering

PROBLEM = b'{"code": "storage_unavailable", "detail": "storage is away"}'
NOBODY = "http://127.0.0.1:1"  # no service may listen there


def send(url: str) -> tuple[int | RestyleError, list[float]]:
    """Send one request. Return the status or the error, and the pauses taken."""
    pauses: list[float] = []
    transport = Transport(url, 5, sleep=pauses.append)
    try:
        return transport.send("GET", "/").status_code, pauses
    except RestyleError as error:
        return error, pauses
    finally:
        transport.close()


def exchange(*answers: Answer) -> tuple[int | RestyleError, list[float], int]:
    """Send one request to a server with these answers. Return what `send` does, and how many tries there were."""
    with answering(*answers) as (url, heard):
        result, pauses = send(url)
        return result, pauses, len(heard)


def test_a_busy_service_is_asked_again_after_the_time_it_names() -> None:
    busy = (503, {"Retry-After": "7"}, b"")

    status, pauses, tries = exchange(busy, busy, (200, {}, b"{}"))

    assert status == 200
    assert pauses == [7, 7]
    assert tries == 3


def test_a_date_is_understood_as_the_time_to_come_back() -> None:
    busy = (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, b"")

    status, pauses, _ = exchange(busy, (200, {}, b"{}"))

    assert status == 200
    assert pauses[0] < 1


def test_a_service_that_stays_busy_is_an_error_in_the_end() -> None:
    error, pauses, tries = exchange((503, {}, PROBLEM))

    assert isinstance(error, RestyleError)
    assert error.code == "storage_unavailable"
    assert not error.refused
    assert tries == ATTEMPTS
    assert pauses == sorted(pauses), "pauses grow"


def test_a_service_that_asks_for_an_hour_is_not_waited_for() -> None:
    error, pauses, tries = exchange((429, {"Retry-After": "3600"}, b""))

    assert isinstance(error, RestyleError)
    assert pauses == []
    assert tries == 1


def test_a_refusal_is_not_repeated() -> None:
    error, _, tries = exchange((409, {}, b'{"code": "conflict", "detail": "it has ended"}'))

    assert str(error) == "it has ended"
    assert tries == 1


def test_an_answer_of_something_else_is_still_a_readable_error() -> None:
    error, _, _ = exchange((404, {}, b"<html>nginx</html>"))

    assert isinstance(error, RestyleError)
    assert error.code == "http_404"
    assert "answered 404 Not Found" in str(error)


def test_an_unreachable_service_is_named_after_several_tries() -> None:
    error, pauses = send(NOBODY)

    assert isinstance(error, RestyleError)
    assert error.code == "unreachable"
    assert error.status is None
    assert NOBODY in str(error)
    assert len(pauses) == ATTEMPTS - 1


def test_a_key_goes_along_with_every_request() -> None:
    with answering((503, {}, b""), (200, {}, b"{}")) as (url, heard):
        transport = Transport(url, 5, api_key="rsk_secret", sleep=lambda _seconds: None)
        transport.send("GET", "/v1/jobs")
        transport.close()
    assert [headers["Authorization"] for _, headers in heard] == ["Bearer rsk_secret"] * 2
