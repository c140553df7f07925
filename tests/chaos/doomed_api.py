"""`python -m api`, but it dies between the commit of the first job and its answer. Wrapped from outside, as workers."""

from __future__ import annotations

import functools
import os
import signal
import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from api.__main__ import main
from jobs.enqueue import enqueue
from tests.chaos.witness import replace


@functools.wraps(enqueue)
def enqueuing(session: Session, *args: Any, **kwargs: Any) -> Any:
    enqueued = enqueue(session, *args, **kwargs)
    session.info["enqueued"] = True
    return enqueued


@event.listens_for(Session, "after_commit")
def _die(session: Session) -> None:
    if session.info.get("enqueued") and not session.in_nested_transaction():
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)


if __name__ == "__main__":
    replace(enqueue, enqueuing)
    main()
