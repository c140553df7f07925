"""Signatures, checked by an implementation that is not ours."""

from __future__ import annotations

import base64
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from jobs.signing import headers, new_secret


def test_a_message_is_verified_with_each_of_its_secrets_and_no_other() -> None:
    old, new, foreign = new_secret(), new_secret(), new_secret()
    message = headers("msg-1", int(time.time()), b'{"type":"job.ended"}', [old, new])
    for secret in (old, new):
        assert Webhook(secret).verify(b'{"type":"job.ended"}', message) == {"type": "job.ended"}
    assert len(message["webhook-signature"].split()) == 2
    for secret, body in ((foreign, b'{"type":"job.ended"}'), (old, b'{"type":"job.ended2"}')):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, message)


def test_the_example_of_the_standard_is_signed_as_it_says() -> None:
    message = headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert message["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_has_a_mark_and_bytes_enough() -> None:
    secret = new_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
