"""Ray Data as its guide to batch inference has it: tasks load, one actor is the model, tasks save, all as a stream."""

from __future__ import annotations

import os
from typing import Any

import ray

from benchmarks.stream_peers import photos

Row = dict[str, Any]


def load(row: Row) -> Row:
    return {"key": row["key"], "picture": photos.load(row["key"])}


class Model:
    """The actor: it holds the device."""

    def __call__(self, batch: Row) -> Row:
        return {"key": batch["key"], "picture": photos.model(list(batch["picture"]))}


def save(row: Row) -> Row:
    photos.save(row["key"], row["picture"])
    return {"key": row["key"]}


def main() -> None:
    """Restyle the catalogue."""
    ray.init(num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False, log_to_driver=False)
    keys = [{"key": key} for key in photos.catalogue()]
    (
        ray.data.from_items(keys, override_num_blocks=len(photos.batches()))
        .map(load)
        .map_batches(Model, batch_size=photos.BATCH, concurrency=1, num_cpus=0)
        .map(save)
        .materialize()
    )


if __name__ == "__main__":
    main()
