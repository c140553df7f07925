"""Where workers come from: a process that has loaded the worker's code, and forks one worker per line that it reads.

Loading torch takes seconds; chaos needs workers by the dozen. A forked child has started no thread and touched no
device; from there on it runs `worker.__main__.main` like any worker, after `tests.chaos.witness` has wrapped it.

Its arguments are a file and two descriptors. Each line that it reads from the first is a JSON object: `env`, `log` and
`pid_file`. The answer on the second is the child's process id. A child's end is written to the file, as
`<pid> <status>`.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

LOADED = (
    "worker.__main__",
    "worker.pipelines.unchanged",
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.worker.strategy",
    "kombu.transport.redis",
    "boto3",
    "tests.chaos.witness",
)


def main() -> None:
    ends, questions, answers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for name in LOADED:
        importlib.import_module(name)

    def reap(*_: object) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            with ends.open("a") as file:
                file.write(f"{pid} {os.waitstatus_to_exitcode(status)}\n")

    signal.signal(signal.SIGCHLD, reap)
    os.write(answers, b"ready\n")
    for line in os.fdopen(questions):
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return become_worker(wanted)
        os.write(answers, f"{pid}\n".encode())
    return None


def become_worker(wanted: dict[str, Any]) -> None:
    os.setsid()
    Path(wanted["pid_file"]).write_text(str(os.getpid()))
    log = os.open(wanted["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(wanted["env"])
    from tests.chaos import witness
    from worker.__main__ import main as worker_main

    witness.install()
    sys.argv = ["worker"]
    sys.exit(worker_main())


if __name__ == "__main__":
    main()
