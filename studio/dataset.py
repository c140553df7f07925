"""A drawn set: picture `number` of `seed`, in memory for training or as files for anyone.

Each picture follows from the seed, its number and the size alone, so that a set has the same bytes however many
processes draw it and however often they were stopped.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from studio.captions import caption
from studio.fields import Floats
from studio.product import Product
from studio.render import Rendering, render
from studio.sampling import sample
from studio.tags import draw_tag, tag_words

Layers = tuple[bytes, ...]  # of one picture, as files
LAYERS = ("pictures", "masks", "depth", "edges")  # a folder each
TAGS = "pictures"
MANIFEST = "manifest.csv"
SETTINGS = "set.json"
UNFINISHED = ".unfinished"  # a folder of files that are being written
DEPTH_STEPS = 2048  # of a depth file to the model unit: finer than rays are traced, and 32 units fit
CHUNK = 16  # pictures that a process draws between two reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One picture of a set, with all that is known of it."""

    product: Product
    rendering: Rendering
    caption: str


class OtherSet(ValueError):
    """The folder holds a set that was drawn from another seed or at another size."""


def draw(number: int, *, seed: int, size: int) -> Drawn:
    """Draw picture `number` (from 0) of the set that `seed` names, `size` px square.

    Raises:
        ValueError: a negative number, or a size below 16 px.

    """
    if number < 0:
        raise ValueError(f"pictures are numbered from 0; got {number}")
    product = sample(number, seed=seed)
    return Drawn(product=product, rendering=render(product, width=size, height=size), caption=caption(product))


def write_set(
    folder: Path,
    *,
    count: int,
    size: int,  # px, of each side
    seed: int = 0,
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw pictures 0 to count - 1 into a folder, then their manifest: where it is, the pictures are.

    What is there already is kept, so a run that was stopped goes on, and a larger count adds to a set. Every
    file appears whole. `on_progress` is called with (pictures there, pictures in all).

    Raises:
        OtherSet: the folder holds a set of another seed or size.

    """
    _claim(folder, {"seed": seed, "size_px": size, "depth_steps_per_unit": DEPTH_STEPS})
    rows = [row(number, seed=seed) for number in range(count)]
    write = partial(_write, folder, LAYERS, partial(_layers, seed=seed, size=size))
    _draw_into(folder, LAYERS, rows, write, processes, on_progress)


def write_tag_set(
    folder: Path,
    *,
    count: int,
    size: int,  # px, of each side
    seed: int = 0,
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw pictures of labels and tags in the same way, which have no layers beside them.

    Raises:
        OtherSet: the folder holds a set of another seed or size, or of products.

    """
    _claim(folder, {"seed": seed, "size_px": size, "tags": 1})
    rows = [{"number": number, TAGS: _name(TAGS, number), **tag_words(number, seed=seed)} for number in range(count)]
    write = partial(_write, folder, (TAGS,), partial(_tag_layers, seed=seed, size=size))
    _draw_into(folder, (TAGS,), rows, write, processes, on_progress)


def _draw_into(
    folder: Path,
    layers: Sequence[str],
    rows: Sequence[Mapping[str, object]],  # of the manifest, one for each picture
    write: Callable[[int], None],
    processes: int,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    draft = folder / UNFINISHED
    shutil.rmtree(draft, ignore_errors=True)  # left by a run that was killed
    for name in (*layers, draft.name):
        (folder / name).mkdir(exist_ok=True)
    numbers = range(len(rows))
    missing = [n for n in numbers if not all((folder / _name(layer, n)).exists() for layer in layers)]
    done = len(rows) - len(missing)
    with _mapped(processes) as spread:
        for _ in spread(write, missing):
            done += 1
            if on_progress is not None:
                on_progress(done, len(rows))
    _put(folder, MANIFEST, _manifest(rows))
    draft.rmdir()


def _claim(folder: Path, settings: dict[str, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    if not path.exists():
        path.with_suffix(".new").write_text(json.dumps(settings) + "\n", encoding="utf-8")
        path.with_suffix(".new").replace(path)
    held = json.loads(path.read_text(encoding="utf-8"))
    if held != settings:
        raise OtherSet(f"{folder} holds a set drawn with {held}, not with {settings}; choose another folder")


def _name(layer: str, number: int) -> str:
    return f"{layer}/{number:06d}.png"


@contextmanager
def _mapped(processes: int) -> Iterator[Callable[[Callable[[int], None], list[int]], Iterator[None]]]:
    """Yield a `map`, over as many processes."""
    if processes == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            yield partial(pool.map, chunksize=CHUNK)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """A process that is killed can not tell its children; they watch it instead."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a process of the pool"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _write(folder: Path, layers: Sequence[str], draw_one: Callable[[int], Layers], number: int) -> None:
    for layer, content in zip(layers, draw_one(number), strict=True):
        _put(folder, _name(layer, number), content)


def _layers(number: int, *, seed: int, size: int) -> Layers:
    rendering = draw(number, seed=seed, size=size).rendering
    layers = (rendering.pixels, rendering.mask, depth_steps(rendering.depth), rendering.edges)
    return tuple(_png(layer) for layer in layers)


def _tag_layers(number: int, *, seed: int, size: int) -> Layers:
    return (_png(draw_tag(number, seed=seed, size=size).pixels),)


def _png(values: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def depth_steps(depth: Floats) -> NDArray[np.uint16]:
    """Depth in model units as whole steps of 1 / `DEPTH_STEPS`, for 16-bit files: 0 is nothing there."""
    near = np.where(np.isfinite(depth), depth, 0)
    return np.asarray(np.rint(np.clip(near * DEPTH_STEPS, 0, 65535)), np.uint16)


def _put(folder: Path, name: str, content: bytes) -> None:
    """Write a file aside, then move it into its place: a reader sees all of it or none."""
    draft = folder / UNFINISHED / f"{os.getpid()}-{name.replace('/', '-')}"
    draft.write_bytes(content)
    draft.replace(folder / name)


def _manifest(rows: Sequence[Mapping[str, object]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def row(number: int, *, seed: int) -> dict[str, str | int | float]:
    """One line of a set's manifest, without drawing its picture."""
    product = sample(number, seed=seed)
    return {
        "number": number,
        **{layer: _name(layer, number) for layer in LAYERS},
        **product.attributes,
        "second": product.second,
        "shape": product.shape,
        "azimuth": product.view.azimuth,
        "elevation": product.view.elevation,
        "fill": product.view.fill,
        "product_seed": product.seed,
        "caption": caption(product),
    }
