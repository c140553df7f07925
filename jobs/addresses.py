"""Where the service may call on behalf of a customer: public addresses only, so that no webhook reaches inside.

A name is resolved once and the call goes to the very address that was checked: a second look could be answered
with another one.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_URL_LENGTH = 2_000
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address in the clothes of IPv6 (RFC 6052)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(Exception):
    """The service does not call this address; the message tells its owner what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a call goes."""

    host: str  # as the receiver knows itself
    port: int
    path: str  # with the query
    tls: bool
    addresses: tuple[str, ...]  # each was checked; to be tried in this order


def resolve(url: str, *, allow_private: bool = False) -> Target:
    """Check an address and find out where it leads. Asks the resolver, which has time limits of its own.

    `allow_private`: for tests and inner networks; allows http as well.

    Raises:
        AddressRefused: it is none that the service calls.
        OSError: the name cannot be resolved now.

    """
    host, port, path, tls = _parsed(url)
    if not tls and not allow_private:
        raise AddressRefused("write it as https://host/path")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a part of the name is empty or too long
        raise AddressRefused(f"{host} can be the name of no host") from error
    addresses = tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    if not allow_private and not all(map(is_public, addresses)):
        raise AddressRefused(f"name a public host: {host} leads into a network that is not public")
    return Target(host=host, port=port, path=path, tls=tls, addresses=addresses)


def is_public(text: str) -> bool:
    """Return whether an address belongs to the public internet, also when it hides in another form."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return all(each.is_global and not each.is_multicast for each in (address, *_hidden_in(address)))


def _hidden_in(address: Address) -> list[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    hidden: list[Address] = [each for each in (address.ipv4_mapped, address.sixtofour) if each is not None]
    if address in NAT64:
        hidden.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return hidden


def _parsed(url: str) -> tuple[str, int, str, bool]:
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise AddressRefused(f"write it in at most {MAX_URL_LENGTH} plain ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressRefused(f"it is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise AddressRefused("write it as https://host/path")
    if parts.username is not None or parts.fragment:
        raise AddressRefused("leave out user, password and #")
    tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return host, (443 if tls else 80) if port is None else port, path, tls
