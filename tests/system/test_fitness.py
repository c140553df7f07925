"""Real worker processes that are not fit to work: they say why, claim nothing, and end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cards import BUILT_IN
from jobs.database import Database
from jobs.records import JobRecord, ShardRecord
from jobs.states import JobState, ShardState
from tests.factories import make_job
from tests.nursery import ROOT
from tests.system.processes import Settings

pytestmark = [pytest.mark.system]

WAIT_SECONDS = 120


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A folder of models in which one's weights are damaged."""
    shutil.copytree(BUILT_IN, tmp_path / "models")
    weights = tmp_path / "models" / "reference-grade" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    return tmp_path / "models"


def environment(folder: Path, database_url: str, **extra: str) -> dict[str, str]:
    return Settings(
        database_url=database_url,
        broker_url=f"redis+socket://{folder}/nobody-listens-here?virtual_host=0",
        storage_url=f"file://{folder}/storage",
        allowed_prefixes=f"file://{folder}/",
        extra={"RESTYLE_POLL_SECONDS": "0.2", "RESTYLE_MEMORY_MB": "256", **extra},
    ).environment()


def run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], env=env, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_SECONDS
    )


@pytest.mark.parametrize("command", [["worker"], ["restyle", "worker", "--devices", "cpu,cpu"]], ids=" ".join)
def test_a_worker_that_is_not_fit_says_every_reason_and_claims_nothing(
    sqlite_url: str, tmp_path: Path, damaged: Path, command: list[str]
) -> None:
    database = Database(sqlite_url)
    with database.transaction() as session:
        job_id = make_job(session, items=2).id
    faults = {
        "RESTYLE_MEMORY_MB": str(1 << 30),
        "RESTYLE_MODELS_DIR": str(damaged),
        "TMPDIR": str(tmp_path / "nowhere"),
    }
    done = run(command, environment(tmp_path, sqlite_url, **faults))
    assert done.returncode == 2, done.stderr
    for name, value in faults.items():
        told = [line for line in done.stderr.splitlines() if line.startswith(f"not fit to work: {name} is ")]
        assert told, done.stderr
        assert all(value in line for line in told)
    assert "worker_ready" not in done.stderr
    with database.reading() as session:
        shard = session.get_one(ShardRecord, (job_id, 0))
        assert session.get_one(JobRecord, job_id).state is JobState.QUEUED
    assert (shard.state, shard.attempt, shard.lease_token) == (ShardState.READY, 0, 0)
    database.close()


def test_a_device_that_is_not_there_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    done = run(["worker"], environment(tmp_path, sqlite_url, RESTYLE_DEVICE="cuda:99"))
    assert done.returncode == 2
    assert done.stderr.startswith("not fit to work: RESTYLE_DEVICE is 'cuda:99': this machine has ")


def test_the_check_alone_can_be_asked_for(sqlite_url: str, tmp_path: Path, damaged: Path) -> None:
    good, bad = environment(tmp_path, sqlite_url), environment(tmp_path, sqlite_url, RESTYLE_MODELS_DIR=str(damaged))
    for command in (["worker", "--check"], ["restyle", "worker", "--check"]):
        done = run([*command], good | {"RESTYLE_DEVICE": "cpu"})
        assert (done.returncode, done.stdout) == (0, "fit to work: cpu\n"), done.stderr
    done = run(["restyle", "worker", "--check", "--devices", "cpu,cpu"], bad)
    assert done.returncode == 2
    assert done.stderr.count("not fit to work: RESTYLE_MODELS_DIR is ") == 2
    assert "worker 2 on cpu could not run" in done.stderr


def test_a_worker_that_waits_for_storage_can_be_stopped(sqlite_url: str, tmp_path: Path) -> None:
    away = {
        "RESTYLE_STORAGE_URL": "s3://shop/own",
        "RESTYLE_S3_ENDPOINT_URL": "http://127.0.0.1:1",
        "RESTYLE_S3_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    command = [sys.executable, "-m", "worker"]
    env = environment(tmp_path, sqlite_url) | away
    with subprocess.Popen(command, env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        assert any("storage_awaited" in line for line in worker.stderr)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(WAIT_SECONDS) == 0
