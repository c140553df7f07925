"""Which addresses the service calls for a customer."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from jobs.addresses import AddressRefused, is_public, resolve

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_a_public_address_is_known(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.215.14/",
        "ftp://93.184.215.14/",
        "https://",
        "https:///path",
        "https://user:password@93.184.215.14/",
        "https://93.184.215.14/#part",
        "https://93.184.215.14:99999/",
        "https://[::1/",
        "https://93.184.215.14/a b",
        "https://93.184.215.14/a\nb",
        "https://bücher.example/",
        "https://" + "a" * 64 + ".example/",
        "https://93.184.215.14/" + "a" * 2000,
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://localhost/",
    ],
)
def test_a_url_that_may_lead_inside_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        resolve(url)


def test_a_url_is_taken_apart_and_its_address_found() -> None:
    target = resolve("https://93.184.215.14/hook?a=1")
    assert (target.host, target.port, target.path, target.tls) == ("93.184.215.14", 443, "/hook?a=1", True)
    assert target.addresses == ("93.184.215.14",)


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(host: str, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", ("93.184.215.14", port)), (2, 1, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(AddressRefused, match="not public"):
        resolve("https://rebinding.example/")


def test_an_inner_network_may_be_allowed_with_http() -> None:
    assert resolve("http://127.0.0.1:8080", allow_private=True).addresses == ("127.0.0.1",)
