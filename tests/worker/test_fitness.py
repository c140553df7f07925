"""What a worker finds out about itself before it claims anything."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import torch
from structlog.testing import capture_logs

from jobs.cards import BUILT_IN
from tests import servers
from tests.chaos.proxy import Proxy
from worker import fitness
from worker.fitness import Unfit, check
from worker.settings import WorkerSettings


class DiskUsage(NamedTuple):
    total: int
    used: int
    free: int


def settings(folder: Path, **changes: Any) -> WorkerSettings:
    return WorkerSettings(**{"device": "cpu", "storage_url": f"file://{folder}/storage", "memory_mb": 256} | changes)


def refused(folder: Path, **changes: Any) -> str:
    """Return why a worker with such settings is refused: one line."""
    with pytest.raises(Unfit) as raised:
        check(settings(folder, **changes), away_seconds=0)
    [fault] = raised.value.faults
    assert "\n" not in fault
    return fault


def test_a_machine_that_is_as_it_should_be_is_fit(tmp_path: Path) -> None:
    assert check(settings(tmp_path)) == torch.device("cpu")
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cuda:-1"])
def test_a_device_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    fault = refused(tmp_path, device=name)
    assert fault.startswith(f"RESTYLE_DEVICE is {name!r}: ")
    assert "cpu" in fault


def test_a_device_that_computes_wrong_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.eye
    monkeypatch.setattr(torch, "eye", lambda *args, **named: right(*args, **named) * 1.001)
    assert "computes wrong results" in refused(tmp_path)


def test_a_device_whose_driver_fails_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")

    monkeypatch.setattr(torch, "eye", broken)
    assert "cannot compute (CUDA error: uncorrectable ECC error encountered)" in refused(tmp_path)


def test_a_device_that_never_answers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(torch, "eye", lambda *_, **__: never.wait())
    monkeypatch.setattr(fitness, "DEVICE_SECONDS", 0.01)
    assert "no answer within 0.01 s" in refused(tmp_path)
    never.set()


def test_a_budget_that_the_machine_has_not_got_is_refused(tmp_path: Path) -> None:
    fault = refused(tmp_path, memory_mb=1 << 30)
    assert fault.startswith(f"RESTYLE_MEMORY_MB is {1 << 30}: ")
    assert "MiB of memory are free: give less" in fault


def test_a_folder_for_temporary_files_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file", Path("/proc/self")):
        monkeypatch.setenv("TMPDIR", str(folder))
        assert refused(tmp_path).startswith(f"TMPDIR is '{folder}': no file can be written there (")


def test_a_disk_without_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: DiskUsage(1 << 40, 0, 100 << 20))
    assert refused(tmp_path).startswith(f"TMPDIR is '{tmp_path}': 100 MiB are free there, and 256 are needed")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    shutil.copytree(BUILT_IN, tmp_path / "models")
    return tmp_path / "models"


def test_weights_that_are_not_the_cards_are_refused(tmp_path: Path, models: Path) -> None:
    weights = models / "reference-grade" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    fault = refused(tmp_path, models_dir=models)
    assert fault.startswith(f"RESTYLE_MODELS_DIR is '{models}': {weights} has sha256 ")
    weights.unlink()
    assert f"there is no {weights}: copy the model reference-grade there again" in refused(tmp_path, models_dir=models)


def test_models_that_cannot_be_read_or_are_not_there_are_refused(tmp_path: Path, models: Path) -> None:
    (models / "unchanged" / "model.json").write_text('{"name": "unchanged"')
    assert "a model.json there cannot be read (" in refused(tmp_path, models_dir=models)
    (models / "unchanged" / "model.json").write_text('{"name": "unchanged"}')
    assert "a model.json there cannot be read (" in refused(tmp_path, models_dir=models)
    assert "no <name>/model.json is there" in refused(tmp_path, models_dir=tmp_path / "nowhere")


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Unfit) as raised:
        check(settings(tmp_path, device="gpu", memory_mb=1 << 30, models_dir=tmp_path))
    assert [fault.partition(" ")[0] for fault in raised.value.faults] == [
        "RESTYLE_DEVICE",
        "RESTYLE_MEMORY_MB",
        "RESTYLE_MODELS_DIR",
    ]


def test_a_storage_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, storage_url="file:///a/../b").startswith("RESTYLE_STORAGE_URL is 'file:///a/../b': ")


@pytest.fixture
def s3(s3_server: servers.S3, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a bucket that is there, and credentials for it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    bucket = s3_server.make_bucket()
    return {"storage_url": f"s3://{bucket}/own", "s3_endpoint_url": s3_server.endpoint_url, "s3_region": "us-east-1"}


def test_a_bucket_that_is_not_there_or_closed_is_refused(
    tmp_path: Path, s3: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(settings(tmp_path, **s3))
    assert "there is no bucket 'nobodys'" in refused(tmp_path, **s3 | {"storage_url": "s3://nobodys/own"})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    assert "storage refuses access" in refused(tmp_path, **s3)


def test_storage_that_never_answers_is_refused_in_the_end(tmp_path: Path, s3: dict[str, Any]) -> None:
    fault = refused(tmp_path, **s3 | {"s3_endpoint_url": "http://127.0.0.1:1"})
    assert "no answer for 0 s (storage did not answer" in fault
    assert "RESTYLE_S3_ENDPOINT_URL" in fault


def test_storage_that_is_away_for_a_moment_is_waited_for(tmp_path: Path, s3: dict[str, Any]) -> None:
    address = urlsplit(s3["s3_endpoint_url"])
    found: list[torch.device] = []
    with Proxy((str(address.hostname), int(address.port or 0))) as proxy, capture_logs() as logs:
        proxy.cut()
        through = s3 | {"s3_endpoint_url": f"http://{proxy.host_and_port}"}
        waiting = threading.Thread(target=lambda: found.append(check(settings(tmp_path, **through))))
        waiting.start()
        deadline = time.monotonic() + 90
        while not any(line["event"] == "storage_awaited" for line in logs):
            assert time.monotonic() < deadline, "nobody waits for it"
            time.sleep(0.05)
        proxy.mend()
        waiting.join(90)
    assert found == [torch.device("cpu")]
