"""Doorbells: heard when they are, and nobody's burden when they are not."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from jobs.doorbell import Doorbell, celery_app
from tests.chaos.proxy import Proxy
from tests.servers import Broker


@pytest.fixture
def broker(servers_folder: Path) -> Iterator[Broker]:
    server = Broker(servers_folder)
    server.start()
    yield server
    server.kill()


def waiting(broker: Broker, queue: str) -> list[dict[str, Any]]:
    """Take the messages that wait in a queue, oldest first."""
    client = redis.Redis(unix_socket_path=str(broker.socket_path))
    messages = [json.loads(raw) for raw in reversed(client.lrange(queue, 0, -1))]
    client.close()
    return [
        {
            **message["headers"],
            "content_type": message["content-type"],
            "payload": json.loads(base64.b64decode(message["body"])),
        }
        for message in messages
    ]


def test_a_ring_is_a_short_lived_message_without_work(broker: Broker) -> None:
    doorbell = Doorbell(broker.url)
    assert doorbell.ring("work", "gpu", times=3)
    assert doorbell.ring("plan", "gpu")
    doorbell.close()
    messages = waiting(broker, "gpu")
    assert [message["task"] for message in messages] == ["restyle.work"] * 3 + ["restyle.plan"]
    for message in messages:
        arguments, keywords, _embed = message["payload"]
        assert (arguments, keywords) == ([], {})
        assert message["content_type"] == "application/json"
        assert message["expires"]


def test_there_is_no_result_backend_and_messages_are_acknowledged_early(broker: Broker) -> None:
    conf = celery_app(broker.url).conf
    assert conf.result_backend is None
    assert conf.task_ignore_result
    assert not conf.task_acks_late
    assert conf.accept_content == ["json"]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+socket:///nowhere/at/all.sock"])
def test_a_dead_broker_holds_nobody_up_and_is_left_alone_for_a_while(url: str) -> None:
    doorbell = Doorbell(url)
    started = time.monotonic()
    assert not doorbell.ring("work", "gpu")
    assert time.monotonic() - started < 5
    again = time.monotonic()
    assert not any(doorbell.ring("work", "gpu") for _ in range(1000))
    assert time.monotonic() - again < 0.5
    doorbell.close()


def test_a_broker_that_comes_back_is_rung_again(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.doorbell.SILENCE_SECONDS", 0.0)
    doorbell = Doorbell(broker.url)
    assert doorbell.ring("work", "gpu")
    broker.kill()
    assert not doorbell.ring("work", "gpu")
    broker.start()
    deadline = time.monotonic() + 20
    while not doorbell.ring("work", "gpu"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    doorbell.close()
    assert waiting(broker, "gpu")


def test_a_broker_that_vanishes_without_a_word_holds_nobody_up(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.doorbell.SILENCE_SECONDS", 0.0)
    with Proxy(str(broker.socket_path)) as proxy:
        doorbell = Doorbell(f"redis://{proxy.host_and_port}/0")
        assert doorbell.ring("work", "gpu")
        proxy.forget()
        started = time.monotonic()
        assert not doorbell.ring("work", "gpu")
        assert time.monotonic() - started < 10
        proxy.mend()
        assert doorbell.ring("work", "gpu"), "the connection that is dead was used again"
        doorbell.close()
