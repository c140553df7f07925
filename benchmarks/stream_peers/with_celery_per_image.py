"""A plain Celery task per picture, and one worker for the device."""

from __future__ import annotations

import os

from celery import Celery

from benchmarks.stream_peers import photos

app = Celery(
    "stream", broker=os.environ["BENCH_URL"].replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
)
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


@app.task(acks_late=True)
def restyle(key: str) -> None:
    [picture] = photos.model([photos.load(key)])
    photos.save(key, picture)


def main() -> None:
    """Send a task for every picture, and work until killed."""
    for key in photos.catalogue():
        restyle.delay(key)
    app.worker_main(["--quiet", "worker", "--pool=solo", "--without-gossip", "--without-mingle"])


if __name__ == "__main__":
    main()
