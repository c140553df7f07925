"""Where the tests' workers and APIs come from: a process that has loaded their code, and forks one per line it reads.

Loading torch takes seconds, and the tests start processes by the hundred. A forked child has started no thread and
touched no device; from there on it runs its program as `python -m` would.

Its arguments are a file and two descriptors. Each line that it reads from the first is a JSON object: a `number` of the
child, its `program`, a module, `env`, `folder` to run in, `log` and `pid_file`. The answer on the second is the child's
process id. A child's end is written to the file, as `<number> <status>`: process ids come again, and a program that is
started again has the files that it had.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

LOADED = (
    "api.app",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "worker.fitness",
    "worker.lifecycle",
    "worker.stopping",
    "worker.tasks",
    "worker.pipelines.reference_grade",
    "worker.pipelines.unchanged",
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.worker.strategy",
    "kombu.transport.redis",
    "boto3",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "tests.chaos.witness",
)


def main() -> None:
    ends, questions, answers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()  # children that collect would copy every page of it
    children: dict[int, int] = {}

    def reap(*_: object) -> None:
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with ends.open("a") as file:
                file.write(f"{children.pop(pid)} {os.waitstatus_to_exitcode(status)}\n")

    signal.signal(signal.SIGCHLD, reap)
    os.write(answers, b"ready\n")
    for line in os.fdopen(questions):
        wanted = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # until it is known whose end that would be
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            return become(wanted)
        children[pid] = wanted["number"]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        os.write(answers, f"{pid}\n".encode())
    return None


def become(wanted: dict[str, Any]) -> None:
    os.setsid()
    os.chdir(wanted["folder"])
    Path(wanted["pid_file"]).write_text(str(os.getpid()))
    log = os.open(wanted["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(wanted["env"])
    sys.argv = [wanted["program"]]
    runpy.run_module(wanted["program"], run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    main()
