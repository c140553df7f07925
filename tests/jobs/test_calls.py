"""One call to a receiver, against real sockets."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from jobs import calls
from tests.receivers import receiving


def test_a_call_carries_body_headers_and_the_name_of_the_host() -> None:
    with receiving() as receiver:
        answer = calls.post(receiver.url + "?a=1", b"{}", {"webhook-id": "m"}, allow_private=True)
    assert (answer.status, answer.error, answer.accepted) == (204, None, True)
    [message] = receiver.received
    assert (message.path, message.body, message.id) == ("/hook?a=1", b"{}", "m")
    assert message.headers["host"] == receiver.url.split("/")[2]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving() as receiver, receiving() as forbidden:
        receiver.answer = lambda _message: status
        receiver.location = forbidden.url
        answer = calls.post(receiver.url, b"{}", {}, allow_private=True)
    assert (answer.status, answer.accepted) == (status, False)
    assert forbidden.received == []


def test_a_forbidden_address_is_not_called() -> None:
    with receiving() as receiver:
        answer = calls.post(receiver.url.replace("http:", "https:"), b"{}", {}, allow_private=False)
    assert answer.status is None
    assert "not public" in str(answer.error)
    assert receiver.received == []


def test_a_name_is_resolved_once_and_the_checked_address_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = socket.getaddrinfo

    def resolver(host: str, *rest: Any, **options: Any) -> Any:
        if host != "receiver.example":
            return real(host, *rest, **options)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "receiver.example")
        assert calls.post(url, b"{}", {}, allow_private=True).accepted
    assert asked == ["receiver.example"]
    assert receiver.received[0].headers["host"].startswith("receiver.example:")


def test_nobody_there_is_an_answer_too() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        answer = calls.post(f"http://127.0.0.1:{unused.getsockname()[1]}/", b"{}", {}, allow_private=True)
    assert answer.status is None
    assert "refused" in str(answer.error).lower()


@pytest.mark.timeout(60)
def test_a_receiver_that_drips_is_cut_off() -> None:
    with receiving() as receiver:
        receiver.drip = threading.Event()
        answer = calls.post(receiver.url, b"{}", {}, allow_private=True, seconds=0.5)
    assert (answer.status, answer.accepted) == (None, False)
    assert answer.milliseconds < 30_000


@pytest.mark.timeout(60)
def test_a_receiver_that_is_silent_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        answer = calls.post(url, b"{}", {}, allow_private=True, seconds=0.5)
    assert answer.status is None
    assert answer.error == "TimeoutError: no answer within 0.5 s"


@contextlib.contextmanager
def speaking_tls(certificate: Path, *, connections: int) -> Iterator[int]:
    """Accept so many connections; give the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def answer(connection: socket.socket) -> None:
        # A caller that does not trust the certificate hangs up.
        with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as stream:
            heard = b""
            while not heard.endswith(b"{}"):
                heard += stream.recv(65536)
            stream.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        thread = threading.Thread(target=lambda: [answer(listening.accept()[0]) for _ in range(connections)])
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def self_signed(name: str, path: Path) -> Path:
    """Write a certificate for a host with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(pem))
    return path


def test_a_certificate_must_be_one_for_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed("localhost", tmp_path / "certificate.pem")
    with speaking_tls(certificate, connections=3) as port:
        unknown = calls.post(f"https://localhost:{port}/", b"{}", {}, allow_private=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusted = calls.post(f"https://localhost:{port}/", b"{}", {}, allow_private=True)
        other_name = calls.post(f"https://127.0.0.1:{port}/", b"{}", {}, allow_private=True)
    assert trusted.status == 204, trusted.error
    for refused in (unknown, other_name):
        assert refused.status is None
        assert "certificate" in str(refused.error).lower()
