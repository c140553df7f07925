"""The API as a process of its own: what it loads, what it logs, how it stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
STARTED = "Uvicorn running on "


def test_the_api_loads_no_model_code_and_no_picture_library() -> None:
    script = """
import sys
import api.__main__
found = {"torch", "numpy", "PIL", "safetensors", "worker"} & {name.partition(".")[0] for name in sys.modules}
sys.exit(f"loaded: {found}" if found else 0)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)


def test_a_process_logs_one_json_line_a_request_and_stops_when_told(sqlite_url: str, tmp_path: Path) -> None:
    environment = os.environ | {
        "RESTYLE_DATABASE_URL": sqlite_url,
        "RESTYLE_STORAGE_URL": f"file://{tmp_path}/storage",
        "RESTYLE_PORT": "0",
        "RESTYLE_LOG_FORMAT": "json",
    }
    lines: list[dict[str, Any]] = []
    with subprocess.Popen(
        [sys.executable, "-m", "api"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                lines.append(json.loads(line))
                if STARTED in lines[-1]["event"]:
                    break
            url = lines[-1]["event"].removeprefix(STARTED).split()[0]
            absent = httpx.get(f"{url}/v1/jobs/{'0' * 32}", headers={"X-Request-Id": "mine"}, timeout=60)
            httpx.get(f"{url}/nowhere/secret-name", timeout=60)
            httpx.get(f"{url}/healthz", timeout=60)
        finally:
            process.send_signal(signal.SIGTERM)
            lines += [json.loads(line) for line in process.stderr]
        process.wait(timeout=90)
    answered = [line for line in lines if line["event"] == "request_answered"]
    assert absent.status_code == 404
    assert [(line["method"], line["path"], line["status"]) for line in answered] == [
        ("GET", "/v1/jobs/{job_id}", 404),
        ("GET", None, 404),
    ]
    assert answered[0]["request_id"] == "mine"
    assert all(line["seconds"] < 60 and line["at"].endswith("Z") for line in answered)
    assert lines[-1]["event"].startswith("Finished server process")
