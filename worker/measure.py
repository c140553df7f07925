"""`python -m worker.measure MANIFEST`: what costs too much to measure of every picture, over a job that has ended.

Reads the job's manifest and its pictures, before and after; what the job made itself has no before, and is left out.
`nearest` asks of each picture which original of the whole job it is nearest to; `perceptual` needs the extra `teacher`,
`text` the extra `ocr`. Prints a JSON line per item, and as the last line one of all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jobs.errors import JobsError
from jobs.locations import Location
from jobs.source_urls import is_made
from jobs.states import ItemState
from jobs.storage import Storages
from worker.images import PictureLimits, decode
from worker.quality.nearest import descriptor, feature_descriptor, taken_for
from worker.quality.perceptual import perceptual_distance
from worker.quality.text import ReaderMissing, TextReader, text_kept
from worker.settings import WorkerSettings
from worker.teacher import load_teacher

KEPT = (ItemState.SUCCEEDED, ItemState.REUSED, ItemState.REJECTED)  # states of items that have a picture
MEASURES = ("nearest", "perceptual", "text")
MANIFEST_BYTES = 4 << 30

Line = dict[str, Any]
Pair = tuple[Tensor, Tensor]  # before and after, uint8 [3, h, w] each


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the pictures of a manifest, and print what was found."""
    asked = _parser().parse_args(arguments)
    settings = WorkerSettings()
    storages = Storages(s3_endpoint_url=settings.s3_endpoint_url, s3_region=settings.s3_region)
    try:
        for line in measured(storages, asked.manifest, asked.measure or ["nearest"], asked.limit):
            sys.stdout.write(f"{json.dumps(line, ensure_ascii=False)}\n")
    except (JobsError, ReaderMissing) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def measured(storages: Storages, manifest: str, measures: Sequence[str], limit: int | None) -> Iterator[Line]:
    """Yield what was measured of each item, then a line of all.

    Raises:
        TeacherMissing: `perceptual` is asked for, and the teacher is not installed.
        ReaderMissing: `text` is asked for, and what reads it is not installed.
        StorageError: a picture or the manifest cannot be read.

    """
    describe, compare = _asked_for(measures)
    items, originals, restyled = [], [], []
    for item in _with_pictures(storages, manifest, limit):
        before, after = (_picture(storages, item[name]) for name in ("key", "output_key"))
        found: Line = {"item": item["item"]}
        for name, of_pair in compare.items():
            found[name] = of_pair((before, after))
        items.append(found)
        if describe is not None:
            originals.append(describe(before))
            restyled.append(describe(after))
    if items and describe is not None:
        places = taken_for(torch.stack(originals), torch.stack(restyled))
        for found, place in zip(items, places, strict=True):
            found["nearest"] = items[place]["item"]
    yield from items
    yield _of_all(items)


def _asked_for(measures: Sequence[str]) -> tuple[Callable[[Tensor], Tensor] | None, dict[str, Callable[[Pair], Any]]]:
    """Return what describes a picture so that the nearest is found, and what compares two."""
    describe: Callable[[Tensor], Tensor] | None = descriptor if "nearest" in measures else None
    compare: dict[str, Callable[[Pair], Any]] = {}
    if "perceptual" in measures:
        teacher = load_teacher(torch.device("cpu"))
        compare["perceptual"] = lambda pair: round(perceptual_distance(*pair, teacher), 5)
        if describe is not None:
            describe = lambda picture: feature_descriptor(picture, teacher)  # noqa: E731
    if "text" in measures:
        reader = TextReader()
        compare["text"] = lambda pair: text_kept(*map(reader.lines, pair))
    return describe, compare


def _with_pictures(storages: Storages, manifest: str, limit: int | None) -> Iterator[Line]:
    url = manifest if "://" in manifest else f"file://{Path(manifest).absolute()}"
    location = Location.parse(url, field="manifest")
    data = storages.at(location).read(location.key, max_bytes=MANIFEST_BYTES)
    items = (item for item in map(json.loads, data.splitlines()) if item["state"] in KEPT and not is_made(item["key"]))
    for number, item in enumerate(items):
        if limit is not None and number >= limit:
            return
        yield item


def _picture(storages: Storages, url: str) -> Tensor:
    limits = PictureLimits()
    location = Location.parse(url)
    picture = decode(storages.at(location).read(location.key, max_bytes=limits.max_bytes), limits)
    return torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1)


def _of_all(items: Sequence[Line]) -> Line:
    found: Line = {"items": len(items)}
    for name in ("perceptual", "text"):
        values = [item[name] for item in items if item.get(name) is not None]
        if values:
            found[name] = {
                "items": len(values),
                "mean": round(statistics.fmean(values), 5),
                "worst": _worst(name, values),
            }
    if any("nearest" in item for item in items):
        found["taken_for_another"] = [item["item"] for item in items if item["nearest"] != item["item"]]
    return found


def _worst(name: str, values: Sequence[float]) -> float:
    return max(values) if name == "perceptual" else min(values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker.measure", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifest", help="manifest.jsonl of a job that has ended: a URL or a path")
    parser.add_argument(
        "--measure", action="append", choices=MEASURES, help="what to measure; repeatable (default: nearest)"
    )
    parser.add_argument("--limit", type=int, help="only so many items, from the first")
    return parser


if __name__ == "__main__":
    sys.exit(main())
