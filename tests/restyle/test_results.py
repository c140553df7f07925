"""Results and errors through the client and the command, against a real API."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest

from jobs.states import ItemState, JobOutcome, JobState
from restyle import Client, RestyleError
from restyle.__main__ import run
from tests.factories import make_job, make_results
from tests.restyle.answers import answering
from tests.restyle.conftest import RunningApi


def add_job(api: RunningApi, *, ended: bool) -> str:
    state = JobState.ENDED if ended else JobState.RUNNING
    with api.database.transaction() as session:
        job = make_job(session, state=state, items=120, shard_size=2, outcome=JobOutcome.PARTIAL if ended else None)
        make_results(session, job, range(0 if ended else 10, 120, 2))
        make_results(session, job, range(1, 120, 2), ItemState.FAILED)
    return str(job.id)


def test_results_are_saved_in_order_and_checked(running_api: RunningApi, client: Client) -> None:
    file = io.BytesIO()
    assert client.save_results(add_job(running_api, ended=True), file) == (120, True)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["item"] for line in lines] == list(range(120))


def test_results_of_a_running_job_are_those_so_far(running_api: RunningApi, client: Client) -> None:
    assert client.save_results(add_job(running_api, ended=False), io.BytesIO()) == (110, False)


def test_a_part_that_was_changed_on_its_way_is_refused() -> None:
    part = {"no": 0, "first_item_no": 0, "item_count": 1, "bytes": 3, "url": "", "sha256": hashlib.sha256().hexdigest()}
    with (
        answering((200, {}, b"{}\n")) as (url, _heard),
        Client(url) as client,
        pytest.raises(RestyleError) as refusal,
    ):
        client.read_part("0198c5a2-7d3e-7000-8000-1b2c3d4e5f60", part)  # type: ignore[arg-type]
    assert refusal.value.code == "digest_mismatch"


def test_errors_are_streamed_and_a_broken_stream_is_no_end(running_api: RunningApi, client: Client) -> None:
    lines = b"".join(client.errors(add_job(running_api, ended=False))).splitlines()
    assert [json.loads(line)["item"] for line in lines] == list(range(1, 120, 2))
    with pytest.raises(RestyleError) as missing:
        list(client.errors("0198c5a2-7d3e-7000-8000-1b2c3d4e5f60"))
    assert missing.value.code == "not_found"
    short = (200, {"Content-Length": "100"}, b"{}\n")
    with answering(short) as (url, _heard), Client(url) as broken, pytest.raises(RestyleError) as refusal:
        list(broken.errors("0198c5a2-7d3e-7000-8000-1b2c3d4e5f60"))
    assert refusal.value.code == "unreachable"


def test_the_commands_save_results_and_print_errors(
    running_api: RunningApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESTYLE_API_URL", running_api.url)
    job_id = add_job(running_api, ended=False)
    file = tmp_path / "results.jsonl"
    assert run(["results", job_id, "--output", str(file)]) == 0
    assert capfd.readouterr().err == f"110 items so far in {file}\n"
    assert len(file.read_bytes().splitlines()) == 110
    assert run(["errors", job_id]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 60
    assert run(["results", job_id, "--output", str(tmp_path)]) == 2
