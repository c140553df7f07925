"""A network trained as a job, through real processes: killed, paused, cancelled, and gone on with."""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.cards import CardShelf
from jobs.locations import Location
from jobs.output_keys import files_url
from tests.system.conftest import System
from tests.system.processes import LOOK_SECONDS, WAIT_SECONDS
from tests.system.test_main_path import read
from tests.worker.drawn import draw_photos
from worker.checkpoints import load_pipeline
from worker.training.config import parse_config
from worker.training.loop import Watcher
from worker.training.runs import run

pytestmark = pytest.mark.system

TRAINING = {
    "licence": "CC0-1.0",
    "iterations": 60,
    "batch": 8,
    "warm_up": 5,
    "measure_every": 20,
    "checkpoint_every": 10,
    "held_out_every": 4,
    "network": {"code": 16, "basis": 6, "lattice": 5, "width": 8},
}
FOR_EVER = TRAINING | {"iterations": 1_000_000}


def enqueue(system: System, photos: Path, training: dict[str, Any]) -> str:
    for path in draw_photos(photos, 16):
        system.put(path.name, path.read_bytes())
    return system.api.enqueue(
        {
            "recipe": {"operation": "train", "model": "ours", "training": training},
            "source": {"type": "prefix", "url": system.catalogue_url},
        }
    )


def checkpoints(system: System, job_id: str) -> list[str]:
    """The tokens of the leases that have left a checkpoint."""
    runs = Location.parse(files_url(system.api.job(job_id)["output_url"], job_id) + "training/")
    found = [info.key.removeprefix(runs.key) for info in system.storages.at(runs).list(runs.key)]
    return [key.partition("/")[0] for key in found if key.endswith("/checkpoint.safetensors")]


def wait_for_checkpoint(system: System, job_id: str, *, besides: list[str]) -> list[str]:
    deadline = time.monotonic() + WAIT_SECONDS
    while not set(found := checkpoints(system, job_id)) - set(besides):
        assert time.monotonic() < deadline, system.workers
        assert system.api.job(job_id)["state"] != "ended", system.api.items(job_id)
        time.sleep(LOOK_SECONDS)
    return found


def test_a_training_run_whose_worker_is_killed_ends_with_the_same_weights(grown: System, tmp_path: Path) -> None:
    worker = grown.start_worker()
    job_id = enqueue(grown, tmp_path / "photos", TRAINING)
    left = wait_for_checkpoint(grown, job_id, besides=[])
    worker.kill()
    assert grown.api.job(job_id)["counts"]["pending"] == 1, "the run was too quick to be killed in the middle"
    other = grown.start_worker()
    job = grown.api.wait_until_ended(job_id)
    started_at = re.findall(r"training_started .*\biteration=(\d+)", other.log())
    assert [int(iteration) >= 10 for iteration in started_at] == [True], other  # not from the beginning
    [item] = grown.api.items(job_id)
    assert job["outcome"] == "succeeded", item
    assert item["attempt"] == 2
    assert left[0] not in checkpoints(grown, job_id)  # what came before is cleared away

    weights = read(grown, item["output_url"])
    assert item["output_url"] == f"{job['output_url']}ours/weights.safetensors"
    assert (item["sha256"], item["bytes"]) == (hashlib.sha256(weights).hexdigest(), len(weights))
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "weights.safetensors").write_bytes(weights)
    (tmp_path / "ours" / "model.json").write_bytes(read(grown, f"{job['output_url']}ours/model.json"))
    assert load_pipeline(CardShelf(tmp_path), "ours", torch.device("cpu"))
    assert weights == trained_straight(tmp_path)

    events = grown.api.client.get(f"/v1/jobs/{job_id}/events", headers={"Accept": "application/json"}).json()["data"]
    told = [event["data"] for event in events if event["kind"] == "training.measured"]
    assert told
    assert {"iteration", "loss", "held_out_psnr_db"} <= told[0].keys()


def trained_straight(folder: Path) -> bytes:
    """The weights of the same run here, without a job."""
    threads = torch.get_num_threads()
    config = parse_config({**TRAINING, "name": "ours", "photos": [f"file://{folder}/photos/"], "device": "cpu"})
    run(config, folder / "straight", watcher=Watcher(), command="")
    torch.set_num_threads(threads)
    return (folder / "straight" / "weights.safetensors").read_bytes()


def test_a_training_run_is_paused_gone_on_with_and_cancelled_like_any_job(embedded: System, tmp_path: Path) -> None:
    worker = embedded.start_worker()
    job_id = enqueue(embedded, tmp_path / "photos", FOR_EVER)
    first = wait_for_checkpoint(embedded, job_id, besides=[])
    embedded.api.client.post(f"/v1/jobs/{job_id}/pause").raise_for_status()
    worker.wait_for_log('"lease_unwanted"')
    second = enqueue_unchanged(embedded)  # the worker is free again
    embedded.api.wait_until_ended(second)
    iteration = last_iteration(embedded, job_id, first[0])

    embedded.api.client.post(f"/v1/jobs/{job_id}/resume").raise_for_status()
    after = wait_for_checkpoint(embedded, job_id, besides=first)
    assert last_iteration(embedded, job_id, after[-1]) > iteration >= 10
    embedded.api.client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    job = embedded.api.wait_until_ended(job_id)
    assert job["outcome"] == "cancelled"
    assert [item["attempt"] for item in embedded.api.items(job_id) if item["state"] != "cancelled"] == []
    worker.stop()


def enqueue_unchanged(system: System) -> str:
    return system.api.enqueue(
        {"recipe": {"model": "unchanged"}, "source": {"type": "prefix", "url": system.catalogue_url}}
    )


def last_iteration(system: System, job_id: str, token: str) -> int:
    """The last line of a run's curve, as it lies beside the checkpoint."""
    folder = files_url(system.api.job(job_id)["output_url"], job_id)
    lines = read(system, f"{folder}training/{token}/curve.jsonl").splitlines()
    iteration: int = json.loads(lines[-1])["iteration"]
    return iteration
