"""Log lines, as a process writes them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import logging, sys, warnings
import structlog
early = structlog.get_logger("early")
from jobs.logs import configure
configure(sys.argv[1])
structlog.contextvars.bind_contextvars(job_id="j1")
early.info("job_enqueued", items=3)
logging.getLogger("uvicorn.error").warning("started on %s", "8000", extra={"colour": "red"})
logging.getLogger("botocore.hooks").info("left out")
logging.getLogger("mine").debug("left out")
warnings.warn("old", DeprecationWarning)
secret = "hunter2"
try:
    1 / 0
except ZeroDivisionError:
    early.exception("item_failed")
"""


def run(log_format: str) -> list[str]:
    command = [sys.executable, "-W", "always", "-c", SCRIPT, log_format]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_every_line_is_one_json_object_whoever_wrote_it() -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in run("json")]
    ours, library, warning, failure = lines
    assert (ours["event"], ours["items"], ours["job_id"], ours["level"]) == ("job_enqueued", 3, "j1", "info")
    assert ours["at"].endswith("Z")
    assert ours["logger"] == "early"
    assert (library["event"], library["logger"], library["colour"]) == ("started on 8000", "uvicorn.error", "red")
    assert "DeprecationWarning: old" in warning["event"]
    assert "ZeroDivisionError" in failure["exception"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_tells_no_values(log_format: str) -> None:
    assert "hunter2" not in "\n".join(run(log_format))


def test_lines_for_people_say_the_same() -> None:
    text = "\n".join(run("console"))
    assert "job_enqueued" in text
    assert "items=3" in text
    assert "started on 8000" in text
    assert "ZeroDivisionError" in text
